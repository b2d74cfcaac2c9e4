//! The baseline: the runtime's session by itself, set as `pipeline-gpu` sets its own, so that what is beside
//! it is what the crate adds and nothing else.

use std::{
    hint::black_box,
    io::{BufRead as _, Write as _, stdin, stdout},
    process::ExitCode,
};

use ort::{session::Session, value::Tensor};

use crate::{contender::Spent, files};

/// The role of this program: `--bare MODEL THREADS`.
pub(crate) const ROLE: &str = "--bare";

pub(crate) fn serve(arguments: &[String]) -> ExitCode {
    let [model, threads] = arguments else {
        return ExitCode::from(2);
    };
    let mut bare = Bare::load(model, threads.parse().unwrap_or(1)).unwrap();
    for line in stdin().lock().lines().map_while(Result::ok) {
        let items = line.trim().parse().unwrap_or(0);
        let spent = Spent::of(|| bare.run(items).unwrap());
        let (whole, cpu) = (spent.whole.as_secs_f64(), spent.cpu.as_secs_f64());
        let mut answer = stdout().lock();
        if writeln!(answer, "{whole} {cpu}")
            .and_then(|()| answer.flush())
            .is_err()
        {
            break;
        }
    }
    ExitCode::SUCCESS
}

/// A model whose one input is filled with zeros.
pub(crate) struct Bare {
    session: Session,
    shape: Vec<i64>,
    /// Sessions need it to live.
    _environment: ort::environment::Environment,
}

impl Bare {
    pub(crate) fn load(model: &str, threads: usize) -> ort::Result<Self> {
        let environment = ort::init_from(files::runtime())
            .expect("cargo xtask models fetched it")
            .with_telemetry(false)
            .build()?;
        let session = Session::builder(&environment)?
            .with_intra_threads(threads)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(threads > 1)?
            .with_config_entry("session.intra_op.spin_duration_us", "50")?
            .with_config_entry("session.force_spinning_stop", "1")?
            .with_inter_op_spinning(false)?
            .commit_from_file(files::model(model))?;
        let shape = session.inputs()[0].dtype().tensor_shape();
        Ok(Self {
            shape: shape.expect("it takes a tensor").to_vec(),
            session,
            _environment: environment,
        })
    }

    /// Runs it so often, and takes the first output.
    pub(crate) fn run(&mut self, items: u64) -> ort::Result<()> {
        for _ in 0..items {
            let len = self.shape.iter().product::<i64>() as usize;
            let input = Tensor::from_array((self.shape.clone(), vec![0.0_f32; len]))?;
            let outputs = self.session.run(ort::inputs![input])?;
            let (_, values) = outputs[0].try_extract_tensor::<f32>()?;
            black_box(values.to_vec());
        }
        Ok(())
    }
}
