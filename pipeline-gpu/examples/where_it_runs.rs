//! Says where a model runs, and how long a run takes: which library, which device, and why not
//! another.
//!
//! ```text
//! cargo run -p pipeline-gpu --example where_it_runs -- DEVICE MODEL.onnx [INPUT=SHAPE]...
//! cargo run -p pipeline-gpu --example where_it_runs -- auto pitch.onnx audio=1x16000
//! ```
//!
//! DEVICE is `auto`, `cpu`, `cuda` or `tensorrt`. Inputs of free shapes need one. ONNX Runtime is
//! found by `ORT_DYLIB_PATH`.

use std::{env, error::Error, time::Instant};

use pipeline_gpu::{
    Cancel,
    onnx::{Device, GpuMonitor, Inputs, Library, OnnxModel, Port, Provider, Tensor},
};
use progress_core::Reporter;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [device, model, shapes @ ..] = &arguments[..] else {
        return Err("usage: where_it_runs DEVICE MODEL.onnx [INPUT=SHAPE]...".into());
    };
    let device = match &**device {
        "auto" => Device::Auto,
        "cpu" => Device::Cpu,
        "cuda" => Device::Cuda(0),
        "tensorrt" => Device::TensorRt(0),
        other => return Err(format!("`{other}` is no device").into()),
    };
    let shapes = shapes
        .iter()
        .map(|text| shape(text))
        .collect::<Result<Vec<_>, _>>()?;
    let mut builder = OnnxModel::builder(&**model).device(device);
    for (input, shape) in &shapes {
        builder = builder.warm_up_shape(input, shape.as_slice());
    }
    let began = Instant::now();
    let model = builder
        .load_blocking(&Reporter::noop(), &Cancel::new())
        .map_err(explained)?;
    println!("loaded    {:?}", began.elapsed());

    if let Some(library) = Library::in_use() {
        println!(
            "library   {} ({})",
            library.path().display(),
            library.origin()
        );
    }
    let placement = model.placement();
    let proven = if placement.is_proven() {
        "measured"
    } else {
        "not measured"
    };
    println!(
        "device    {} by {}, {proven}",
        placement.device(),
        placement.provider()
    );
    for provider in [Provider::TensorRt, Provider::Cuda, Provider::Cpu] {
        if let Some(share) = placement
            .share(provider)
            .filter(|share| share.operations > 0)
        {
            println!("          {} operations on {provider}", share.operations);
        }
    }
    for fallback in placement.fallbacks() {
        println!("          not {}: {}", fallback.provider, fallback.reason);
    }
    let monitor = GpuMonitor::open();
    match placement.gpu().and_then(|gpu| monitor.usage(gpu)) {
        Some(gpu) => println!(
            "gpu       {}: {} of {} MiB",
            gpu.name,
            gpu.memory_used >> 20,
            gpu.memory_total >> 20
        ),
        None => println!("gpu       {}", monitor.unavailable().unwrap_or("not used")),
    }
    for port in model.inputs() {
        println!("takes     {}", described(port));
    }
    for port in model.outputs() {
        println!("gives     {}", described(port));
    }
    if !placement.is_proven() {
        println!("give the inputs of free shapes a shape to see it run");
        return Ok(());
    }
    let mut times = Vec::new();
    for _ in 0..10 {
        let inputs = zeros(&model, &shapes)?;
        let began = Instant::now();
        model.run_blocking(inputs, &Cancel::new())?;
        times.push(began.elapsed());
    }
    times.sort();
    println!(
        "a run     {:?} at best, {:?} mostly",
        times[0],
        times[times.len() / 2]
    );
    pollster::block_on(model.close());
    Ok(())
}

/// An error with what it comes from: of the library, every place that was tried.
fn explained(error: impl Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// `audio=1x16000`.
fn shape(text: &str) -> Result<(String, Vec<usize>), String> {
    let wrong = || format!("`{text}` is not like input=1x3x64x64");
    let (input, sizes) = text.split_once('=').ok_or_else(wrong)?;
    let sizes = sizes
        .split('x')
        .map(|size| size.parse().map_err(|_| wrong()));
    Ok((input.to_owned(), sizes.collect::<Result<_, _>>()?))
}

fn zeros(model: &OnnxModel, shapes: &[(String, Vec<usize>)]) -> Result<Inputs, Box<dyn Error>> {
    let mut inputs = Inputs::new();
    for port in model.inputs() {
        let given = shapes.iter().find(|(input, _)| input == port.name());
        let shape = match given {
            Some((_, shape)) => Some(shape.clone()),
            None => port.fixed_shape(),
        };
        let shape = shape.ok_or_else(|| format!("the input `{}` needs a shape", port.name()))?;
        inputs = inputs.with(port.name(), Tensor::zeros(port.element_type(), shape)?);
    }
    Ok(inputs)
}

fn described(port: &Port) -> String {
    let sizes: Vec<_> = port.shape().iter().map(ToString::to_string).collect();
    format!(
        "{} {} [{}]",
        port.name(),
        port.element_type(),
        sizes.join(", ")
    )
}
