//! `talking-video` serves; `talking-video stand-in` is the renderer that it uses where none is named, as a process of its own;
//! `talking-video token` signs an operator's token.

use std::{env, fs, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use pipeline_gpu::{
    remote::{ApiKey, RemoteError, Renderer, Webhook},
    stages::IfNobody,
};
use progress_core::{ProgressTracker, TaskError, TaskId};
use progress_web::Network;
use talking_video::{
    models::{DeviceName, ModelFiles, Models},
    server::{self, Limits, Rendering, Settings},
    stand_in::{Key, StandIn},
    users::Users,
};
use tracing_subscriber::EnvFilter;

/// A picture and a voice become a video of somebody who speaks.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Renders on this machine what a remote renderer would: no neural network, a mouth that moves
    StandIn(StandInOptions),
    /// Signs an operator's token and prints it
    Token(TokenOptions),
}

#[derive(Debug, Args)]
struct ServeOptions {
    /// The address to serve on
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Let everybody do everything; on this machine's own address only
    #[arg(long, conflicts_with = "secret_file")]
    open: bool,
    /// A file with the secret that tokens are signed with (HS256, 32 bytes or more) [default: made anew]
    #[arg(long, env = "TALKING_VIDEO_SECRET_FILE", value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// For how long the token of a task counts
    #[arg(long, default_value = "2h", value_parser = humantime::parse_duration, value_name = "TIME")]
    token_ttl: Duration,
    /// An origin whose pages are trusted, such as https://app.example.org; can be given again
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<String>,
    /// A network of proxies, such as 10.0.0.0/8, whose X-Forwarded-For says who asks; can be given again
    #[arg(long, value_name = "NET")]
    trusted_proxy: Vec<Network>,
    /// The folder of the models [default: where `cargo xtask models` puts them]
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// A YOLO of one's own, of COCO's classes, in place of CenterFace
    #[arg(long, value_name = "FILE")]
    yolo: Option<PathBuf>,
    /// What the models run on: auto, cpu, cuda or cuda:NUMBER
    #[arg(long, default_value = "auto")]
    device: DeviceName,
    /// Take the whole picture where nobody is found in it
    #[arg(long)]
    whole_picture: bool,
    /// A renderer with the API of D-ID; its key is in RENDER_API_KEY [default: the stand-in]
    #[arg(long, env = "RENDER_URL", value_name = "URL")]
    render_url: Option<String>,
    /// Be told by the renderer that a video is done, at /api/video-generation/webhook; the secret that it signs with is in
    /// RENDER_WEBHOOK_SECRET
    #[arg(long, requires = "render_url")]
    webhook: bool,
    /// Where the renderer reaches this server, such as https://video.example.org [default: it knows what to post to]
    #[arg(long, requires = "webhook", value_name = "URL")]
    public_url: Option<String>,
    /// How many uploads wait at most
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    waiting: u16,
    /// How long a voice may be
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration, value_name = "TIME")]
    longest_voice: Duration,
    /// For how long tasks that have ended, and their videos, are kept
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration, value_name = "TIME")]
    retention: Duration,
    /// Where to keep how long the stages took, for true weights after a restart [default: learned anew]
    #[arg(long, value_name = "FILE")]
    prior: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct StandInOptions {
    /// The address to serve on; its key is in RENDER_API_KEY
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// The server that is told when a job ends which names a webhook; the secret that this is signed with is in
    /// RENDER_WEBHOOK_SECRET [default: nobody is told]
    #[arg(long, value_name = "ADDRESS")]
    webhooks: Option<SocketAddr>,
}

#[derive(Debug, Args)]
struct TokenOptions {
    /// A file with the secret, as the server has it
    #[arg(long, env = "TALKING_VIDEO_SECRET_FILE", value_name = "FILE")]
    secret_file: PathBuf,
    /// For how long it counts
    #[arg(long, default_value = "12h", value_parser = humantime::parse_duration, value_name = "TIME")]
    ttl: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(QUIET));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let cli = Cli::parse();
    let done = match cli.command {
        None => serve(&cli.serve).await,
        Some(Command::StandIn(options)) => stand_in(&options).await,
        Some(Command::Token(options)) => token(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {}", error.code(), error.message());
            for solution in error.solutions() {
                eprintln!("  try: {solution}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: &ServeOptions) -> Result<(), TaskError> {
    if options.open && !options.listen.ip().is_loopback() {
        let message = format!("--open: {} is not this machine alone", options.listen);
        return Err(TaskError::new("OPEN_TO_OTHERS", message).solution("--listen 127.0.0.1:8080"));
    }
    let models = load(options).await?;
    let mut own_secret = None;
    let users = match (&options.secret_file, options.open) {
        (_, true) => Users::open(),
        (Some(file), _) => users(&read_secret(file)?)?,
        // Made anew each time: only whoever started it is told an operator's token of it.
        (None, _) => users(own_secret.insert(random()).as_bytes())?,
    };
    let rendering = rendering(options).await?;
    let limits = Limits {
        waiting: usize::from(options.waiting),
        longest_voice: options.longest_voice,
        ..Limits::default()
    };
    let mut settings = Settings::new(users.clone(), rendering)
        .listen(options.listen)
        .limits(limits)
        .retention(options.retention)
        .token_ttl(options.token_ttl);
    if options.webhook {
        settings = settings.webhook(webhook()?, options.public_url.clone());
    }
    if options.whole_picture {
        settings = settings.if_nobody(IfNobody::WholePicture);
    }
    if let Some(file) = &options.prior {
        settings = settings.prior_file(file);
    }
    for origin in &options.origin {
        settings = settings.origin(origin);
    }
    for network in &options.trusted_proxy {
        settings = settings.trusted_proxy(*network);
    }
    let server = server::bind(settings, &models).await?;
    println!("Make a picture speak on {}", server.url());
    if own_secret.is_some()
        && let Some(token) = users.of_operator(OPERATOR_FOR).map_err(unsigned)?
    {
        println!("An operator's token: {token}");
    }
    server
        .run()
        .await
        .map_err(|error| TaskError::new("SERVER_FAILED", error.to_string()))
}

/// Loads the models, and says how far it is.
async fn load(options: &ServeOptions) -> Result<Models, TaskError> {
    let mut files = ModelFiles::default().device(options.device.0);
    if let Some(folder) = &options.models {
        files = files.folder(folder);
    }
    if let Some(file) = &options.yolo {
        files = files.yolo(file);
    }
    let tracker = ProgressTracker::new();
    let task = tracker.task("models").start();
    let task = task.map_err(|error| TaskError::new("TASK_NOT_STARTED", error.to_string()))?;
    let models = files.load(&task).await?;
    for model in models.all() {
        let placement = model.placement();
        let reason = placement.fallback_reason();
        tracing::info!(model = model.name(), device = placement.device(), reason);
    }
    for place in models.places() {
        println!("{place}");
    }
    drop(task.complete(()));
    Ok(models)
}

async fn rendering(options: &ServeOptions) -> Result<Rendering, TaskError> {
    let (url, key, is_stand_in) = match &options.render_url {
        Some(url) => {
            let key = env::var("RENDER_API_KEY").unwrap_or_default();
            let key = ApiKey::encoded(&key).map_err(|error: RemoteError| {
                TaskError::from(error).solution("RENDER_API_KEY=… in the environment")
            })?;
            (url.clone(), key, false)
        }
        None => {
            let key = Key::random();
            let api_key = key.api_key()?;
            let address = SocketAddr::from(([127, 0, 0, 1], 0));
            let stand_in = StandIn::bind(address, key)
                .await
                .map_err(|error| no_stand_in(&error))?;
            let url = stand_in.url();
            println!("No renderer is named: a stand-in moves the mouth of the picture");
            tokio::spawn(stand_in.run());
            (url, api_key, true)
        }
    };
    let mut builder = Renderer::builder(url, key).max_result(256 << 20);
    if is_stand_in {
        // It is here, and quick.
        builder = builder.polls(Duration::from_millis(100), Duration::from_secs(1));
    }
    Ok(Rendering {
        renderer: builder.build()?,
        is_stand_in,
    })
}

async fn stand_in(options: &StandInOptions) -> Result<(), TaskError> {
    let key = env::var("RENDER_API_KEY").unwrap_or_default();
    let key = if key.trim().is_empty() {
        let made = random();
        println!("RENDER_API_KEY={made}");
        Key::new(&made)
    } else {
        Key::new(&key)
    };
    let bound = StandIn::bind(options.listen, key).await;
    let mut stand_in = bound.map_err(|error| no_stand_in(&error))?;
    if let Some(server) = options.webhooks {
        stand_in = stand_in.webhooks(webhook()?, server);
    }
    println!("The stand-in is at {}", stand_in.url());
    stand_in.run().await.map_err(|error| no_stand_in(&error))
}

fn token(options: &TokenOptions) -> Result<(), TaskError> {
    let users = users(&read_secret(&options.secret_file)?)?;
    if let Some(token) = users.of_operator(options.ttl).map_err(unsigned)? {
        println!("{token}");
    }
    Ok(())
}

fn users(secret: &[u8]) -> Result<Users, TaskError> {
    Users::with_secret(secret).map_err(|error| {
        TaskError::new("SECRET_INVALID", error.to_string())
            .solution("openssl rand -hex 32, for one that is long enough")
    })
}

/// How the renderer signs its messages.
fn webhook() -> Result<Webhook, TaskError> {
    let secret = env::var("RENDER_WEBHOOK_SECRET").unwrap_or_default();
    Webhook::new(secret.trim()).map_err(|error| {
        TaskError::from(error).solution(
            "RENDER_WEBHOOK_SECRET=… in the environment, as openssl rand -hex 32 makes it",
        )
    })
}

/// Reads a secret: the first line of a file.
fn read_secret(file: &PathBuf) -> Result<Vec<u8>, TaskError> {
    let text = fs::read_to_string(file).map_err(|error| {
        TaskError::new(
            "SECRET_INVALID",
            format!("cannot read {}: {error}", file.display()),
        )
    })?;
    Ok(text.lines().next().unwrap_or_default().trim().into())
}

fn random() -> String {
    format!("{}{}", TaskId::random(), TaskId::random())
}

fn unsigned(error: impl std::fmt::Display) -> TaskError {
    TaskError::new("TOKEN_NOT_SIGNED", error.to_string())
}

fn no_stand_in(error: &std::io::Error) -> TaskError {
    TaskError::new("STAND_IN_FAILED", error.to_string())
}

/// Of what was exported with odd names the runtime warns a hundred times.
const QUIET: &str = "warn,ort::logging=error";
const OPERATOR_FOR: Duration = Duration::from_secs(12 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
