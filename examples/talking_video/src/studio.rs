//! The pipeline: from what was uploaded to a video.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use image::RgbImage;
use pipeline_gpu::{
    Breaker, Context, Pipeline, Prior, Stage as _,
    audio::{self, AudioLimits, Prosody, ProsodySummary, Smoothing, Sound},
    blocking,
    remote::{Media, RenderRequest, Renderer},
    stages::{
        CutOut, DetectFaces, DetectYolo, Figure, IfNobody, MeasureProsody, Persons, Recording,
        Region, Render, RenderJob, Scene, Video, part,
    },
    vision::{self, DecodeLimits, Face, MatteModel, Yolo, encode_png},
};
use progress_core::TaskError;

use crate::{
    media::{Sniffed, fitted},
    models::{Detector, Models},
    stand_in::Drive,
};

/// What somebody uploaded.
#[derive(Debug)]
pub struct Upload {
    /// The file of the picture.
    pub image: Bytes,
    /// The file of the voice.
    pub audio: Bytes,
    /// The least confidence that somebody is to be found with; the detector's if none.
    pub confidence: Option<f32>,
    /// Whether the pitch of the voice is smoothed.
    pub smoothing: bool,
    /// Where the video is to be.
    pub file: PathBuf,
}

/// What came of it.
#[derive(Debug)]
pub struct Made {
    /// The video.
    pub video: Video,
    /// How many were found in the picture.
    pub persons: usize,
    /// How it is said.
    pub prosody: ProsodySummary,
}

/// From an upload to a video.
pub type Studio = Pipeline<Upload, Made>;

/// What the pipeline is made of, and its bounds.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Who renders.
    pub renderer: Renderer,
    /// Leaves the renderer alone where it keeps failing.
    pub breaker: Breaker,
    /// Whether that is the stand-in, which is told what the prosody is; others take no such option.
    pub is_stand_in: bool,
    /// What the renderer is to tell that a job has ended, if anything.
    pub webhook: Option<String>,
    /// What is done where nobody is found.
    pub if_nobody: IfNobody,
    /// How many uploads wait at most.
    pub waiting: usize,
    /// How long a voice may be.
    pub longest_voice: Duration,
    /// How long a video may take.
    pub deadline: Duration,
    /// How long the stages took before.
    pub prior: Prior,
}

/// Builds the pipeline.
///
/// # Errors
///
/// `MODEL_MISFIT` if a model is of another kind than its stage; `PIPELINE_INVALID` if a bound makes no sense.
pub fn build(models: &Models, plan: Plan) -> Result<Studio, TaskError> {
    let limits = AudioLimits::default().duration(plan.longest_voice);
    let (is_stand_in, webhook) = (plan.is_stand_in, plan.webhook);
    let start = Pipeline::builder("talking-video")
        .waiting(plan.waiting)
        .deadline(plan.deadline)
        .prior(plan.prior)
        .stage(
            "read",
            blocking(move |cx: &Context, upload| read(cx, upload, &limits)),
        )
        .label("Read picture and voice")
        .weight(0.2);
    let split = |opened: Opened| {
        let scene = Scene::new(Arc::clone(&opened.picture)).confidence(opened.upload.confidence);
        (scene, opened)
    };
    let join = |opened: Opened, persons: Persons| Found { opened, persons };
    let detected = match &models.detector {
        Detector::Faces(model) => {
            let stage = DetectFaces::new(model)?.if_nobody(plan.if_nobody);
            start.stage("detect", part(stage, split, join))
        }
        Detector::Yolo(model) => {
            let persons = Yolo::coco().only([0]).confidence(0.5);
            let stage = DetectYolo::new(model, persons)?.if_nobody(plan.if_nobody);
            start.stage("detect", part(stage, split, join))
        }
    };
    let detected = detected.label("Find the person").weight(1.0);
    let cut_out = CutOut::new(&models.matte, MatteModel::u2net())?.feather(1.0);
    let prosody = MeasureProsody::new(&models.speech, &models.pitch)?;
    let built = detected
        .stage(
            "cut-out",
            part(
                cut_out,
                |found: Found| {
                    let picture = Arc::clone(&found.opened.picture);
                    let only = found.persons.selected_figure(picture.dimensions());
                    (Region::new(picture).only(only), found)
                },
                |found: Found, figure: Figure| Cut { found, figure },
            ),
        )
        .label("Take the background away")
        .weight(2.0)
        .stage(
            "prosody",
            part(
                prosody,
                |cut: Cut| {
                    let opened = &cut.found.opened;
                    let smoothing = match opened.upload.smoothing {
                        true => SMOOTH,
                        false => Smoothing::Off,
                    };
                    let sound = Arc::clone(&opened.sound);
                    (Recording::new(sound).smoothing(smoothing), cut)
                },
                |cut: Cut, prosody: Prosody| Heard { cut, prosody },
            ),
        )
        .label("Listen to the voice")
        .weight(1.0)
        .stage(
            "script",
            blocking(move |cx: &Context, heard| script(cx, heard, is_stand_in, webhook.as_deref())),
        )
        .label("Write the script")
        .weight(0.2)
        .stage(
            "render",
            part(
                Render::new(&plan.renderer).guarded_by(&plan.breaker),
                |script: Script| (script.job, (script.persons, script.prosody)),
                |(persons, prosody), video: Video| Made {
                    video,
                    persons,
                    prosody,
                },
            ),
        )
        .label("Render the video")
        .weight(4.0)
        .build();
    built.map_err(|error| TaskError::new("PIPELINE_INVALID", error.to_string()))
}

/// What is read of the files.
struct Opened {
    upload: Upload,
    picture: Arc<RgbImage>,
    sound: Arc<Sound>,
}

struct Found {
    opened: Opened,
    persons: Persons,
}

struct Cut {
    found: Found,
    figure: Figure,
}

struct Heard {
    cut: Cut,
    prosody: Prosody,
}

/// What the renderer is told.
struct Script {
    job: RenderJob,
    persons: usize,
    prosody: ProsodySummary,
}

fn read(cx: &Context, mut upload: Upload, limits: &AudioLimits) -> Result<Opened, TaskError> {
    cx.reporter().message("Reading the picture");
    let limit = DecodeLimits::default().pixels(MOST_PIXELS);
    let picture = fitted(vision::decode(&upload.image, &limit)?);
    // All that comes after works on the pixels.
    upload.image = Bytes::new();
    let (width, height) = picture.dimensions();
    cx.reporter().metadata("width", width);
    cx.reporter().metadata("height", height);
    cx.reporter().message("Reading the voice");
    // What is heard of it is at this rate; at that of the file it could be twenty times as large.
    let sound = audio::decode(&upload.audio, limits)?.resampled(Sound::VOICE_RATE)?;
    cx.reporter()
        .metadata("duration_s", sound.duration().as_secs_f64());
    let text = format!(
        "A picture of {width} x {height}, a voice of {:.1} s",
        sound.duration().as_secs_f64()
    );
    cx.reporter().message(text);
    Ok(Opened {
        upload,
        picture: Arc::new(picture),
        sound: Arc::new(sound),
    })
}

fn script(
    cx: &Context,
    heard: Heard,
    is_stand_in: bool,
    webhook: Option<&str>,
) -> Result<Script, TaskError> {
    cx.reporter().message("Writing what the renderer is told");
    let Heard { cut, prosody } = heard;
    let Found { opened, persons } = cut.found;
    let png = encode_png(&cut.figure.image)?;
    let audio = &opened.upload.audio;
    let voice = Sniffed::of(audio);
    let mut request = RenderRequest::new(
        Media::upload("figure.png", "image/png", png),
        Media::upload(voice.name, voice.content_type, audio.clone()),
    );
    if let Some(url) = webhook {
        request = request.webhook(url);
    }
    if is_stand_in {
        let face = persons.selected().and_then(|person| person.face);
        let drive = Drive::of(&prosody, face.as_ref().map(mouth));
        let drive = serde_json::to_value(drive)
            .map_err(|error| TaskError::new("SCRIPT_INVALID", error.to_string()))?;
        request = request.config(Drive::OPTION, drive);
    }
    cx.reporter().message("The script is written");
    Ok(Script {
        job: RenderJob::new(request, opened.upload.file),
        persons: persons.all.len(),
        prosody: prosody.summary(),
    })
}

/// The corners of the mouth.
fn mouth(face: &Face) -> [(f32, f32); 2] {
    let [_, _, _, left, right] = face.landmarks;
    [left, right]
}

/// What phones make: 24 million pixels.
const MOST_PIXELS: u64 = 25_000_000;
/// Takes out a detector's jumps by an octave.
const SMOOTH: Smoothing = Smoothing::Median { frames: 5 };
