//! Those that are measured beside the crate, each in a process of its own that waits for its turn: a
//! process has one runtime, and Python is another program.
//!
//! A turn is a line with the number of items, answered by a line with the seconds that they took and
//! those of the processors.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{bare, files};

/// In how much time a process at work is seen to be, by a clock of 10 ms.
pub(crate) const REST: Duration = Duration::from_millis(20);

/// A process that runs a model when it is told to.
pub(crate) struct Contender {
    /// How it does it.
    pub(crate) way: String,
    process: Child,
    told: Option<ChildStdin>,
    says: BufReader<ChildStdout>,
}

impl Contender {
    /// The runtime's session by itself, in Rust.
    pub(crate) fn bare(model: &str, threads: usize) -> Self {
        let mut program = Command::new(env::current_exe().unwrap());
        program.arg(bare::ROLE).arg(model).arg(threads.to_string());
        Self::start("the session itself".to_owned(), program)
    }

    /// The same by Python, if there is one that can: pixels, or the photo in a file. By each of these
    /// numbers of sessions, among which the cores are shared out.
    pub(crate) fn python(
        model: &str,
        sessions: &[usize],
        photo: Option<&Path>,
    ) -> Option<Vec<Self>> {
        let Some(python) = env::var_os("BENCH_PYTHON") else {
            println!("skipped: rows beside Python; BENCH_PYTHON names none");
            return None;
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/cut_out.py");
        let by = |sessions: &usize| {
            let threads = (files::cores() / sessions).max(1);
            let mut program = Command::new(&python);
            program.arg(&script).arg(files::model(model));
            program.args([*sessions, threads].map(|count| count.to_string()));
            program.args(photo);
            let way = match sessions {
                1 => "one session".to_owned(),
                _ => format!("{sessions} sessions"),
            };
            Self::start(way, program)
        };
        Some(sessions.iter().map(by).collect())
    }

    fn start(way: String, mut program: Command) -> Self {
        program.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = program.spawn().expect("the contender starts");
        let (told, says) = (process.stdin.take(), process.stdout.take().unwrap());
        Self {
            way,
            process,
            told,
            says: BufReader::new(says),
        }
    }

    /// Has it do so many items.
    pub(crate) fn items(&mut self, items: u64) -> Spent {
        let told = self.told.as_mut().unwrap();
        writeln!(told, "{items}").expect("the contender is there");
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        let numbers: Vec<f64> = line.split(' ').flat_map(|n| n.trim().parse()).collect();
        let [whole, cpu] = numbers[..] else {
            panic!("the contender said `{line}`");
        };
        self.comes_to_rest();
        Spent {
            whole: Duration::from_secs_f64(whole),
            cpu: Duration::from_secs_f64(cpu),
        }
    }

    /// Threads of a session may spin for a while after a run, and would take a core from the next turn.
    fn comes_to_rest(&self) {
        let process = self.process.id().to_string();
        let mut before = cpu(&process);
        for _ in 0..50 {
            thread::sleep(REST);
            let now = cpu(&process);
            if now == before {
                return;
            }
            before = now;
        }
        println!("the contender is still at work after its turn");
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        // The end of its input is its end.
        self.told = None;
        drop(self.process.wait());
    }
}

/// Time, and that of the processors.
#[derive(Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) whole: Duration,
    pub(crate) cpu: Duration,
}

impl Spent {
    /// What `work` takes in this process.
    pub(crate) fn of<T>(work: impl FnOnce() -> T) -> Self {
        let (before, began) = (cpu("self"), Instant::now());
        work();
        Self {
            whole: began.elapsed(),
            cpu: cpu("self").saturating_sub(before),
        }
    }

    pub(crate) fn micros(self, items: u64) -> f64 {
        self.whole.as_secs_f64() * 1e6 / items as f64
    }
}

/// What the processors did for a process until now, to 10 ms; nothing where Linux does not say.
fn cpu(process: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name of the program may hold anything, and ends with the last bracket.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split(' ').skip(12).take(2);
    let ticks: u64 = ticks.flat_map(str::parse::<u64>).sum();
    Duration::from_millis(10 * ticks)
}
