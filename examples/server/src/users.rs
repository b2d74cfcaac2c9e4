//! Who may use the server, and by what it knows them.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use progress_web::{GatewayBuilder, Origin, Secret};
use serde::Deserialize;

/// Settings of users; in the file they stand under `[users]`.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[command(next_help_heading = "Users")]
pub(crate) struct UserOptions {
    /// Where the keys of users' JSON Web Tokens are: a JWKS file, or its https URL
    /// [default: there are no users; tasks with random ids can be watched]
    #[arg(long, env = "PROGRESS_JWKS", value_name = "FILE|URL")]
    jwks: Option<String>,
    /// Issuers of the tokens, by comma [default: any that has a key]
    #[arg(
        long,
        env = "PROGRESS_JWT_ISSUER",
        value_delimiter = ',',
        value_name = "ISSUER"
    )]
    jwt_issuer: Option<Vec<String>>,
    /// Audiences of which a token has to name one, by comma [default: tokens name none]
    #[arg(
        long,
        env = "PROGRESS_JWT_AUDIENCE",
        value_delimiter = ',',
        value_name = "AUDIENCE"
    )]
    jwt_audience: Option<Vec<String>>,
    /// The claim of a token that holds its roles, such as `realm_access.roles` [default: roles]
    #[arg(long, env = "PROGRESS_JWT_ROLES_CLAIM", value_name = "CLAIM")]
    jwt_roles_claim: Option<String>,
    /// A file whose first line grants and tickets are signed with, 32 bytes or more; those of other
    /// lines are taken too [default: a secret of this process]
    #[arg(long, env = "PROGRESS_SECRET_FILE", value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Origins of pages that may open WebSockets, by comma, such as `https://app.example.org`; * for
    /// all [default: the server's own]
    #[arg(
        long,
        env = "PROGRESS_ORIGINS",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    origins: Option<Vec<String>>,
    /// The query's name for tokens of old clients that know no other way; they end up in logs
    /// [default: none is taken from the query]
    #[arg(long, env = "PROGRESS_INSECURE_QUERY_TOKEN", value_name = "NAME")]
    insecure_query_token: Option<String>,
}

impl UserOptions {
    /// What is not set here is taken from there.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            jwks: self.jwks.or(file.jwks),
            jwt_issuer: self.jwt_issuer.or(file.jwt_issuer),
            jwt_audience: self.jwt_audience.or(file.jwt_audience),
            jwt_roles_claim: self.jwt_roles_claim.or(file.jwt_roles_claim),
            secret_file: self.secret_file.or(file.secret_file),
            origins: self.origins.or(file.origins),
            insecure_query_token: self.insecure_query_token.or(file.insecure_query_token),
        }
    }

    /// Refuses settings that contradict each other.
    ///
    /// # Errors
    ///
    /// If there is something about tokens and nothing that they could be checked with, or that nobody is
    /// asked for.
    pub(crate) fn check(&self, open: bool) -> anyhow::Result<()> {
        ensure!(
            !open || self.jwks.is_none(),
            "--open lets everybody in, --jwks users alone: take one of them"
        );
        let about_tokens = [
            ("jwt-issuer", self.jwt_issuer.is_some()),
            ("jwt-audience", self.jwt_audience.is_some()),
            ("jwt-roles-claim", self.jwt_roles_claim.is_some()),
            ("insecure-query-token", self.insecure_query_token.is_some()),
        ];
        for (name, is_set) in about_tokens {
            ensure!(
                !is_set || self.jwks.is_some(),
                "{name}: there is no jwks that tokens could be checked with"
            );
        }
        Ok(())
    }

    /// Sets them.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or a setting is none.
    pub(crate) fn apply(&self, mut gateway: GatewayBuilder) -> anyhow::Result<GatewayBuilder> {
        if let Some(jwks) = &self.jwks {
            gateway = self.authorize(gateway, jwks)?;
        }
        if let Some(path) = &self.secret_file {
            let text = fs::read_to_string(path)
                .with_context(|| format!("secret-file: cannot read {}", path.display()))?;
            let mut secrets = text.lines().filter(|line| !line.trim().is_empty());
            let secret = |line: &str| Secret::new(line.trim()).context("secret-file");
            gateway = gateway.secret(secret(secrets.next().unwrap_or_default())?);
            for line in secrets {
                gateway = gateway.other_secret(secret(line)?);
            }
        }
        for origin in self.origins.iter().flatten() {
            gateway = gateway.origin(match origin.as_str() {
                "*" => Origin::any(),
                origin => origin.parse().context("origins")?,
            });
        }
        if let Some(name) = &self.insecure_query_token {
            gateway = gateway.insecure_query_token(name);
        }
        Ok(gateway)
    }

    #[cfg(feature = "jwt")]
    fn authorize(&self, gateway: GatewayBuilder, jwks: &str) -> anyhow::Result<GatewayBuilder> {
        let mut jwt = progress_web::jwt::Jwt::builder();
        jwt = if jwks.contains("://") {
            jwt.jwks_url(jwks)
        } else {
            jwt.jwks_file(jwks)
        };
        for issuer in self.jwt_issuer.iter().flatten() {
            jwt = jwt.issuer(issuer);
        }
        for audience in self.jwt_audience.iter().flatten() {
            jwt = jwt.audience(audience);
        }
        if let Some(claim) = &self.jwt_roles_claim {
            jwt = jwt.roles_claim(claim);
        }
        Ok(gateway.authorizer(jwt.build().context("jwks")?))
    }

    #[cfg(not(feature = "jwt"))]
    fn authorize(&self, _: GatewayBuilder, _: &str) -> anyhow::Result<GatewayBuilder> {
        anyhow::bail!("jwks: this server was built without the feature `jwt`")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use progress_core::ProgressTracker;
    use progress_web::Gateway;

    use super::*;

    fn apply(options: &UserOptions) -> anyhow::Result<GatewayBuilder> {
        options.apply(Gateway::builder(ProgressTracker::new()))
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn grants_of_each_secret_in_the_file_are_taken() {
        let (new, old) = ("n".repeat(32), "o".repeat(40));
        let secrets = file(&format!("{new}\n\n{old}\n"));
        let options = UserOptions {
            secret_file: Some(secrets.path().to_owned()),
            ..UserOptions::default()
        };
        assert!(apply(&options).is_ok());
        let weak = file("too short");
        let options = UserOptions {
            secret_file: Some(weak.path().to_owned()),
            ..UserOptions::default()
        };
        let error = format!("{:#}", apply(&options).unwrap_err());
        assert!(
            error.contains("secret-file") && error.contains("32"),
            "{error}"
        );
        assert!(!error.contains("too short"));
    }

    #[test]
    fn what_is_about_tokens_needs_keys() {
        let options = UserOptions {
            jwt_audience: Some(vec!["progress".into()]),
            ..UserOptions::default()
        };
        let error = options.check(false).unwrap_err().to_string();
        assert!(error.contains("jwt-audience"), "{error}");
        let options = UserOptions {
            jwks: Some("keys.json".into()),
            ..options
        };
        assert!(options.check(false).is_ok());
        assert!(options.check(true).is_err());
    }

    #[test]
    fn an_origin_that_is_none_is_named() {
        let options = UserOptions {
            origins: Some(vec!["app.example.org".into()]),
            ..UserOptions::default()
        };
        let error = format!("{:#}", apply(&options).unwrap_err());
        assert!(error.contains("origins"), "{error}");
    }
}
