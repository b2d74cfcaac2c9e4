//! A page as one who looks at it sees it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use fantoccini::Locator;
use serde_json::{Value, json};

use crate::driver::Browser;

impl Browser {
    pub(crate) async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Waits until a JavaScript expression about the page holds, looking whenever the page changes.
    pub(crate) async fn until(&self, condition: &str) {
        let script = format!(
            "const [patience, answer] = arguments;
             const holds = () => ({condition});
             const stop = (answered) => {{ changes.disconnect(); clearTimeout(timer); answer(answered); }};
             const changes = new MutationObserver(() => {{ if (holds()) stop(null); }});
             changes.observe(document, {{ attributes: true, characterData: true, childList: true, subtree: true }});
             const timer = setTimeout(() => stop(document.body.innerText), patience);
             if (holds()) stop(null);"
        );
        let patience = vec![json!(PATIENCE_MS)];
        let seen = self.client.execute_async(&script, patience).await.unwrap();
        assert_eq!(seen, Value::Null, "in vain: {condition}");
    }

    /// Waits until an expression about what is in shadow trees holds, where no change is noticed: it
    /// looks at each frame.
    pub(crate) async fn until_drawn(&self, condition: &str) {
        let script = format!(
            "const [patience, answer] = arguments;
             const late = performance.now() + patience;
             const look = () => {{
               if ({condition}) answer(null);
               else if (performance.now() > late) answer(document.body.innerText);
               else requestAnimationFrame(look);
             }};
             look();"
        );
        let patience = vec![json!(PATIENCE_MS)];
        let seen = self.client.execute_async(&script, patience).await.unwrap();
        assert_eq!(seen, Value::Null, "in vain: {condition}");
    }

    pub(crate) async fn click(&self, element: &str) {
        let element = self.client.find(Locator::Css(element)).await.unwrap();
        element.click().await.unwrap();
    }

    /// Waits until a text is to be seen anywhere.
    pub(crate) async fn until_text(&self, text: &str) {
        let text = json!(text);
        self.until(&format!("document.body.innerText.includes({text})"))
            .await;
    }

    /// Chooses files as with the button of the page.
    pub(crate) async fn choose(&self, files: &[PathBuf]) {
        self.give("[data-testid=files]", files).await;
    }

    pub(crate) async fn give(&self, input: &str, files: &[PathBuf]) {
        let paths: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
        let input = self.client.find(Locator::Css(input)).await.unwrap();
        input.send_keys(&paths.join("\n")).await.unwrap();
    }

    /// Keeps what is to be seen, for people to look at, in `screenshots` of the target folder.
    pub(crate) async fn photograph(&self, name: &str) {
        let picture = self.client.screenshot().await.unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }
}

/// Less than the script timeout, so that it is this that fails, and says what it saw.
const PATIENCE_MS: u32 = 50_000;
