//! The models: where they are, and what they are loaded as.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use pipeline_gpu::{
    Cancel,
    onnx::{Device, ModelBuilder, OnnxModel},
};
use progress_core::{Reporter, TaskError};

/// Where the models are, and what they are to run on.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ModelFiles {
    folder: Option<PathBuf>,
    yolo: Option<PathBuf>,
    device: Device,
}

impl ModelFiles {
    /// Sets the folder that they are in (default `models` below the build's target directory, where `cargo xtask models` puts
    /// them).
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Has people be found by a YOLO of one's own, trained on COCO's 80 classes, in place of CenterFace.
    pub fn yolo(mut self, file: impl Into<PathBuf>) -> Self {
        self.yolo = Some(file.into());
        self
    }

    /// Sets what the models run on (default [`Device::Auto`]).
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Loads them; each is a stage of the reporter's task.
    ///
    /// # Errors
    ///
    /// `MODELS_MISSING`, with what is missing and where it comes from; else that of the model which could not be loaded.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops loading.
    pub async fn load(&self, reporter: &Reporter) -> Result<Models, TaskError> {
        let folder = self.found()?;
        let load = |builder: ModelBuilder| self.load_one(&folder, builder, reporter);
        let detector = match &self.yolo {
            Some(file) => Detector::Yolo(load(OnnxModel::builder(file)).await?),
            None => {
                // As it is published it takes ten pictures of 32 x 32 at a time.
                let builder = OnnxModel::builder(folder.join(FACES))
                    .input_shape("input.1", [Some(1), Some(3), None, None])
                    .warm_up_shape("input.1", [1, 3, 64, 64]);
                Detector::Faces(load(builder).await?)
            }
        };
        let pitch = OnnxModel::builder(folder.join(PITCH)).warm_up_shape("audio", [1, 16_000]);
        Ok(Models {
            detector,
            matte: load(OnnxModel::builder(folder.join(MATTE))).await?,
            speech: load(OnnxModel::builder(folder.join(SPEECH))).await?,
            pitch: load(pitch).await?,
        })
    }

    async fn load_one(
        &self,
        folder: &Path,
        builder: ModelBuilder,
        reporter: &Reporter,
    ) -> Result<OnnxModel, TaskError> {
        let mut builder = builder.device(self.device).check_finite(true);
        // Beside the models, unless somebody says which it is to be.
        let runtime = folder.join(RUNTIME);
        if env::var_os("ORT_DYLIB_PATH").is_none_or(|path| path.is_empty()) && runtime.is_file() {
            builder = builder.library(runtime);
        }
        Ok(builder.load(reporter, &Cancel::new()).await?)
    }

    /// The folder that has all of them.
    fn found(&self) -> Result<PathBuf, TaskError> {
        let needed = [
            self.yolo.is_none().then_some(FACES),
            Some(MATTE),
            Some(SPEECH),
            Some(PITCH),
        ];
        let needed: Vec<_> = needed.into_iter().flatten().collect();
        let missing = |folder: &Path| -> Vec<&str> {
            let names = needed.iter().copied();
            names.filter(|name| !folder.join(name).is_file()).collect()
        };
        let folders: Vec<PathBuf> = match &self.folder {
            Some(folder) => vec![folder.clone()],
            // This program is in the target directory too, or in a folder of it.
            None => {
                let program = env::current_exe().unwrap_or_default();
                let above = program.ancestors().skip(1).take(4);
                above.map(|folder| folder.join("models")).collect()
            }
        };
        if let Some(whole) = folders.iter().find(|folder| missing(folder).is_empty()) {
            return Ok(whole.clone());
        }
        // The one that has most of them is the one that was meant.
        let meant = folders.iter().min_by_key(|folder| missing(folder).len());
        let meant = meant.cloned().unwrap_or_default();
        let names = missing(&meant).join(", ");
        let message = format!("{names}: not in {}", meant.display());
        Err(TaskError::new("MODELS_MISSING", message)
            .detail("missing", missing(&meant))
            .solution("cargo xtask models, which fetches them into the target directory")
            .solution("--models FOLDER, if they are elsewhere"))
    }
}

/// The models, loaded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Models {
    /// Finds people.
    pub detector: Detector,
    /// U²-Net: what is in front.
    pub matte: OnnxModel,
    /// Silero: where somebody speaks.
    pub speech: OnnxModel,
    /// SwiftF0: how high.
    pub pitch: OnnxModel,
}

impl Models {
    /// Returns all of them.
    #[must_use]
    pub fn all(&self) -> [&OnnxModel; 4] {
        let detector = match &self.detector {
            Detector::Faces(model) | Detector::Yolo(model) => model,
        };
        [detector, &self.matte, &self.speech, &self.pitch]
    }

    /// Returns the devices that they really run on, each once.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for model in self.all() {
            let placement = model.placement();
            let reason = placement.fallback_reason();
            put(&mut places, placement.device(), model.name(), reason);
        }
        places
    }
}

/// What finds people.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Detector {
    /// CenterFace, by their faces.
    Faces(OnnxModel),
    /// A YOLO of COCO's classes.
    Yolo(OnnxModel),
}

/// A device that models run on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The device: `cpu`, or `cuda:0` for the first GPU.
    pub device: String,
    /// The names of the models.
    pub models: Vec<String>,
    /// Why those of them that were to run elsewhere do not, each reason once.
    pub reasons: Vec<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "On {}: {}", self.device, self.models.join(", "))?;
        match self.reasons.as_slice() {
            [] => Ok(()),
            reasons => write!(f, " ({})", reasons.join("; ")),
        }
    }
}

fn put(places: &mut Vec<Place>, device: String, model: &str, reason: Option<String>) {
    let known = places.iter().position(|place| place.device == device);
    let at = known.unwrap_or_else(|| {
        places.push(Place {
            device,
            models: Vec::new(),
            reasons: Vec::new(),
        });
        places.len() - 1
    });
    let place = &mut places[at];
    place.models.push(model.to_owned());
    if let Some(reason) = reason.filter(|reason| !place.reasons.contains(reason)) {
        place.reasons.push(reason);
    }
}

/// A device as it is named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceName(pub Device);

impl FromStr for DeviceName {
    type Err = NoDevice;

    fn from_str(name: &str) -> Result<Self, NoDevice> {
        Ok(Self(match name.split_once(':') {
            None if name == "auto" => Device::Auto,
            None if name == "cpu" => Device::Cpu,
            None if name == "cuda" => Device::Cuda(0),
            Some(("cuda", gpu)) => Device::Cuda(gpu.parse().map_err(|_| NoDevice)?),
            _ => return Err(NoDevice),
        }))
    }
}

/// A text is no [`DeviceName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoDevice;

impl fmt::Display for NoDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a device is auto, cpu, cuda or cuda:NUMBER")
    }
}

impl std::error::Error for NoDevice {}

const FACES: &str = "centerface.onnx";
const MATTE: &str = "u2netp.onnx";
const SPEECH: &str = "silero_vad_16k.onnx";
const PITCH: &str = "swift_f0.onnx";
const RUNTIME: &str = "onnxruntime-1.31.1/libonnxruntime.so.1.31.1";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn missing_models_are_named_with_a_way_to_have_them() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(MATTE), b"").unwrap();
        let files = ModelFiles::default().folder(folder.path());
        let error = files.load(&Reporter::noop()).await.unwrap_err();
        assert_eq!(error.code(), "MODELS_MISSING");
        for name in [FACES, SPEECH, PITCH] {
            assert!(error.message().contains(name), "{error}");
        }
        assert!(!error.message().contains(MATTE), "{error}");
        assert!(error.solutions()[0].contains("cargo xtask models"));
    }

    #[test]
    fn each_device_is_told_once_with_its_models_and_why_they_are_there() {
        let mut places = Vec::new();
        let none = || Some("CUDAExecutionProvider: no GPU".to_owned());
        put(&mut places, "cpu".to_owned(), "centerface", none());
        put(&mut places, "cuda:0".to_owned(), "u2netp", None);
        put(&mut places, "cpu".to_owned(), "swift_f0", none());
        let told: Vec<_> = places.iter().map(Place::to_string).collect();
        let cpu = "On cpu: centerface, swift_f0 (CUDAExecutionProvider: no GPU)";
        assert_eq!(told, [cpu, "On cuda:0: u2netp"]);
    }

    #[test]
    fn devices_have_names() {
        let named = |name: &str| name.parse::<DeviceName>().map(|DeviceName(device)| device);
        assert_eq!(named("auto"), Ok(Device::Auto));
        assert_eq!(named("cuda:1"), Ok(Device::Cuda(1)));
        assert_eq!(named("gpu"), Err(NoDevice));
        assert_eq!(named("cuda:one"), Err(NoDevice));
    }
}
