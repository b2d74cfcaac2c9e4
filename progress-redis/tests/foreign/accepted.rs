//! Whatever the function accepts, every node reads; all else is refused by name.

use progress_core::{
    TaskId,
    transport::{Topic, Transport},
};
use proptest::{prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};

use crate::{Client, refusal, server::RedisServer, transport};

#[tokio::test]
async fn what_cannot_be_an_event_is_refused_by_name_and_starts_nothing() {
    let server = RedisServer::start();
    let (mut worker, node) = Client::served(&server).await;
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100));
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(65_536));
    let long = "x".repeat(129);
    let name = |text: &str| format!("{{\"current_stage\":\"{text}\"}}");
    let (long_path, deep_path) = (name(&long), name("a/a/a/a/a/a/a/a/a"));
    let message = format!("{{\"message\":\"{}\"}}", "x".repeat(16_273));
    let line = format!("{{\"message\":\"{}\"}}", "x".repeat(32_769));
    for (event_type, data, refusal) in [
        ("queued", "{}", "RESERVED_EVENT_TYPE queued"),
        ("started", "{}", "RESERVED_EVENT_TYPE"),
        ("cancel_requested", "{}", "RESERVED_EVENT_TYPE"),
        ("gap", "{}", "RESERVED_EVENT_TYPE"),
        ("Photo", "{}", "INVALID_EVENT event_type:"),
        ("", "{}", "INVALID_EVENT event_type:"),
        (&long, "{}", "INVALID_EVENT event_type:"),
        ("note", &large, "PAYLOAD_TOO_LARGE data: 65536"),
        ("note", &deep, "INVALID_EVENT data: 100 levels"),
        ("note", "", "INVALID_EVENT data:"),
        ("note", "[]", "INVALID_EVENT data:"),
        ("note", "null", "INVALID_EVENT data:"),
        ("note", "{} {}", "INVALID_EVENT data:"),
        ("note", r#"{"a":1,}"#, "INVALID_EVENT data:"),
        ("note", r#"{"a" 1}"#, "INVALID_EVENT data:"),
        ("note", r#"{a:1}"#, "INVALID_EVENT data:"),
        ("note", r#"{"a":01}"#, "INVALID_EVENT data:"),
        ("note", r#"{"a":0x1}"#, "INVALID_EVENT data:"),
        ("note", r#"{"a":NaN}"#, "INVALID_EVENT data:"),
        ("note", r#"{"a":1.}"#, "INVALID_EVENT data:"),
        ("note", r#"{"a":1e999}"#, "INVALID_EVENT data:"),
        ("note", r#"{"a":truex}"#, "INVALID_EVENT data:"),
        ("note", "{\"a\":\"\n\"}", "INVALID_EVENT data:"),
        ("note", r#"{"a":"\x"}"#, "INVALID_EVENT data:"),
        ("note", r#"{"a":"\ud800"}"#, "INVALID_EVENT data:"),
        ("note", r#"{"a":"\udc00"}"#, "INVALID_EVENT data:"),
        (
            "note",
            r#"{"$serde_json::private::RawValue":1}"#,
            "INVALID_EVENT data:",
        ),
        (
            "note",
            r#"{"a":{"\u0024serde_json::private::RawValue":1}}"#,
            "INVALID_EVENT data:",
        ),
        ("progress_update", "{}", "INVALID_EVENT data:"),
        ("progress_update", r#"{"stage":"a"}"#, "INVALID_EVENT data:"),
        ("progress_update", r#"{"foo":1}"#, "INVALID_EVENT data:"),
        (
            "progress_update",
            r#"{"progress":"half"}"#,
            "INVALID_EVENT progress:",
        ),
        (
            "progress_update",
            r#"{"progress":1,"pro\u0067ress":2}"#,
            "INVALID_EVENT progress: once",
        ),
        (
            "progress_update",
            r#"{"current":-1}"#,
            "INVALID_EVENT current:",
        ),
        (
            "progress_update",
            r#"{"total":1.5}"#,
            "INVALID_EVENT total:",
        ),
        (
            "progress_update",
            r#"{"total":9007199254740993}"#,
            "INVALID_EVENT total:",
        ),
        (
            "progress_update",
            r#"{"metadata":[1]}"#,
            "INVALID_EVENT metadata:",
        ),
        (
            "progress_update",
            r#"{"stage_progress":1}"#,
            "INVALID_EVENT stage:",
        ),
        ("progress_update", &message, "INVALID_EVENT message:"),
        ("stage_change", "{}", "INVALID_EVENT current_stage: needed"),
        ("stage_change", &long_path, "INVALID_EVENT current_stage:"),
        ("stage_change", &deep_path, "INVALID_EVENT current_stage:"),
        (
            "stage_change",
            r#"{"current_stage":"a//b"}"#,
            "INVALID_EVENT current_stage:",
        ),
        (
            "stage_change",
            r#"{"current_stage":"\u0085"}"#,
            "INVALID_EVENT current_stage:",
        ),
        (
            "stage_change",
            r#"{"current_stage":"a\nb"}"#,
            "INVALID_EVENT current_stage:",
        ),
        (
            "log",
            r#"{"level":"INFO"}"#,
            "INVALID_EVENT message: needed",
        ),
        (
            "log",
            r#"{"message":"m","level":"LOUD"}"#,
            "INVALID_EVENT level:",
        ),
        ("log", &line, "INVALID_EVENT message:"),
        ("error", r#"{"message":"m"}"#, "INVALID_EVENT code: needed"),
        (
            "error",
            r#"{"code":"C","message":"m","retry_count":4294967296}"#,
            "INVALID_EVENT retry_count:",
        ),
        (
            "error",
            r#"{"code":"C","message":"m","solutions":[1]}"#,
            "INVALID_EVENT solutions:",
        ),
        (
            "error",
            r#"{"code":"C","message":"m","is_retryable":1}"#,
            "INVALID_EVENT is_retryable:",
        ),
        ("paused", r#"{"reason":1}"#, "INVALID_EVENT reason:"),
        ("complete", "{}", "INVALID_EVENT status: needed"),
        (
            "complete",
            r#"{"status":"stopped"}"#,
            "INVALID_EVENT status:",
        ),
        (
            "complete",
            r#"{"status":"failed","error":1}"#,
            "INVALID_EVENT error:",
        ),
        (
            "complete",
            r#"{"status":"failed","error":{"code":"C"}}"#,
            "INVALID_EVENT message: needed",
        ),
    ] {
        let refused = worker.publish("t", &["w", "1", event_type, data]).await;
        let refused = refused.expect_err(data);
        assert!(
            refused.starts_with(refusal),
            "{event_type} {data}: {refused}"
        );
    }
    for (words, refusal) in [
        (&["w", "1", "paused", "{}", "key"][..], "INVALID_EVENT key:"),
        (&["w", "1", "note", "{}", &long], "INVALID_EVENT key:"),
        (&["", "1", "note", "{}"], "INVALID_EVENT producer:"),
        (&[&long, "1", "note", "{}"], "INVALID_EVENT producer:"),
        (&["w", "-1", "note", "{}"], "INVALID_EVENT n:"),
        (&["w", "1.5", "note", "{}"], "INVALID_EVENT n:"),
        (&["w"], "INVALID_EVENT n:"),
        (&["w", "1"], "INVALID_EVENT event_type:"),
    ] {
        let refused = worker.publish("t", words).await.expect_err(refusal);
        assert!(refused.starts_with(refusal), "{words:?}: {refused}");
    }
    for id in ["", "a b", "a/b", &long] {
        let refused = worker.publish(id, &["w", "1", "note", "{}"]).await;
        let refused = refused.expect_err("it is no id");
        assert!(refused.starts_with("INVALID_TASK_ID"), "{id}: {refused}");
    }
    assert!(node.snapshot("t").await.is_err());
}

#[tokio::test]
async fn a_task_has_no_more_stages_and_keys_than_it_may() {
    let server = RedisServer::start();
    let (mut worker, node) = Client::served(&server).await;
    let mut n = 0;
    let mut publish = async |words: [&str; 3]| {
        n += 1;
        let number = n.to_string();
        worker
            .publish("t", &["w", &number, words[0], words[1], words[2]])
            .await
    };
    // Each of them has begun the one above it as well.
    for stage in 1..1024 {
        let data = format!(r#"{{"stage":"a/{stage}","stage_progress":1}}"#);
        publish(["progress_update", &data, ""])
            .await
            .expect("one more");
    }
    let refused = publish(["stage_change", r#"{"current_stage":"b"}"#, ""]).await;
    assert!(refused.is_err_and(|error| error.starts_with("INVALID_EVENT stage: at most 1024")));
    let again = r#"{"current_stage":"a"}"#;
    publish(["stage_change", again, ""])
        .await
        .expect("it is known");
    for key in 1023..4096 {
        let key = key.to_string();
        publish(["note", "{}", &key]).await.expect("one more");
    }
    let refused = publish(["note", "{}", "more"]).await;
    assert!(refused.is_err_and(|error| error.starts_with("INVALID_EVENT key: at most 4096")));
    publish(["note", "{}", "4095"]).await.expect("it is known");
    publish(["note", "{}", ""]).await.expect("it is none");
    let now = node.snapshot("t").await.expect("it is known");
    assert_eq!(now.stages.len(), 1024);
}

/// Bits of data, well formed and not: what is between them is anything.
fn any_json() -> impl Strategy<Value = String> {
    let numbers = prop_oneof![
        any::<f64>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        "-?[0-9]{1,3}(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,4})?",
        select(vec![
            "-0",
            "1e308",
            "1e-999",
            "18446744073709551615",
            "00",
            "+1",
            "1e309"
        ])
        .prop_map(str::to_owned),
    ];
    let texts = prop_oneof![
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("it is text")),
        "\"[a-z/\\\\u\\p{Cc}é\u{10ffff}]{0,9}\"",
        "\"(\\\\u[dD][89abcdefABCDEF][0-9a-f]{2}){1,3}\"",
        "[\"a-z]{0,4}",
    ];
    let leaf = prop_oneof![
        4 => numbers,
        4 => texts,
        1 => select(vec!["true", "false", "null", "nul", "\"INFO\"", "\"failed\"", "\"a/b\"", " [ ] ", "\t{}"])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((any_name(), inner), 0..4).prop_map(object),
        ]
    })
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => select(vec![
            "stage", "progress", "stage_progress", "current", "total", "unit", "message", "metadata",
            "eta_ms", "stage_eta_ms", "elapsed_ms", "reported", "children", "current_stage",
            "previous_stage", "n", "level", "fields", "code", "is_retryable", "retry_count",
            "details", "solutions", "trace_id", "timestamp", "reason", "status", "result", "error",
            "cause", "duration_ms", "pro\\u0067ress", "$serde_json::private::RawValue",
        ])
        .prop_map(|name| format!("\"{name}\"")),
        1 => any::<String>().prop_map(|text| serde_json::to_string(&text).expect("it is text")),
    ]
}

fn object(members: Vec<(String, String)>) -> String {
    let members: Vec<_> = members
        .into_iter()
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn any_event() -> impl Strategy<Value = (&'static str, Vec<u8>, String)> {
    let types = select(vec![
        "progress_update",
        "stage_change",
        "log",
        "error",
        "paused",
        "resumed",
        "complete",
        "note",
    ]);
    let needed = select(vec![
        "",
        "\"progress\":40",
        "\"stage\":\"a\",\"stage_progress\":1",
        "\"current_stage\":\"b\"",
        "\"message\":\"m\"",
        "\"code\":\"C\",\"message\":\"m\"",
        "\"status\":\"failed\"",
    ]);
    let members = prop::collection::vec((any_name(), any_json()), 0..4).prop_map(object);
    let data = (needed, members).prop_map(|(needed, members)| match (needed, &members[1..]) {
        ("", _) => members,
        (needed, "}") => format!("{{{needed}}}"),
        (needed, rest) => format!("{{{needed},{rest}"),
    });
    // Now and then a byte is another.
    let broken = prop::option::weighted(0.1, (any::<prop::sample::Index>(), any::<u8>()));
    let data = (data, broken).prop_map(|(data, broken)| {
        let mut data = data.into_bytes();
        if let Some((index, byte)) = broken {
            let index = index.index(data.len());
            data[index] = byte;
        }
        data
    });
    let key = prop_oneof![3 => Just(String::new()), 1 => any::<String>()];
    (types, data, key)
}

#[tokio::test]
async fn whatever_is_accepted_can_be_read() {
    let server = RedisServer::start();
    let (mut worker, _node) = Client::served(&server).await;
    let reader = transport(&server).build().expect("its URL is one");
    let mut runner = TestRunner::deterministic();
    let strategy = any_event();
    let (mut accepted, mut refused) = (0, 0);
    for n in 0..4_000 {
        let (event_type, data, key) = strategy
            .new_tree(&mut runner)
            .expect("there is another")
            .current();
        let task = format!("t{}", n / 50 % 8);
        let answer: redis::RedisResult<(String, String)> = redis::cmd("FCALL")
            .arg("progress_publish")
            .arg(1)
            .arg(format!("pgs:t:{{{task}}}"))
            .arg("w")
            .arg(n)
            .arg(event_type)
            .arg(&data)
            .arg(&key)
            .query_async(&mut worker.connection)
            .await;
        let said = || format!("{event_type} {} {key:?}", String::from_utf8_lossy(&data));
        let topic = Topic::Task(task.parse::<TaskId>().expect("an id"));
        let (position, _) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let error = refusal(&error);
                let code = error.split(' ').next();
                assert!(
                    matches!(code, Some("INVALID_EVENT" | "ALREADY_COMPLETE")),
                    "{}: {error}",
                    said()
                );
                refused += 1;
                if code == Some("ALREADY_COMPLETE") {
                    reader.remove(&topic).await.expect("it is there");
                }
                continue;
            }
        };
        accepted += 1;
        let page = reader.read(&topic, None).await.expect("it is there");
        let page = page.expect("it is known");
        assert_eq!(page.unreadable, 0, "{}", said());
        let newest = page.records.last().expect("it is there").position();
        assert_eq!(newest.to_string(), position, "{}", said());
    }
    assert!(accepted > 500 && refused > 500, "{accepted} {refused}");
}
