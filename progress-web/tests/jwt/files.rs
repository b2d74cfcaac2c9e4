//! Keys of a file that changes.

use std::{env, fs, io, path::PathBuf, process};

use progress_web::{
    Refusal,
    jwt::{BuildError, JwksError, Jwt},
};
use serde_json::json;
use tokio::time::{advance, pause, resume};

use crate::support::{Issuer, claims, jwks, secs, who};

/// A file that is there as long as this is.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("progress-web-jwt-{}-{name}.json", process::id());
        Self(env::temp_dir().join(name))
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        fs::write(&self.0, text).unwrap();
    }

    fn jwt(&self) -> Result<Jwt, BuildError> {
        Jwt::builder().jwks_file(&self.0).build()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Lets time pass for the authorizer, which then reads a real file.
async fn pass(seconds: u64) {
    pause();
    advance(secs(seconds)).await;
    resume();
}

#[tokio::test]
async fn new_key_is_found_by_its_id_and_the_old_one_is_gone() {
    let (old, new) = (Issuer::es256(), Issuer::es256_next());
    let file = Scratch::new("rotated");
    file.write(jwks(&[old.jwk("old")]));
    let jwt = file.jwt().unwrap();
    let of_old = old.sign_as("old", &claims(json!({})));
    let of_new = new.sign_as("new", &claims(json!({})));
    assert!(who(&jwt, &of_old).await.is_ok());
    file.write(jwks(&[new.jwk("new")]));
    assert!(who(&jwt, &of_new).await.is_ok());
    assert_eq!(who(&jwt, &of_old).await, Err(Refusal::Unauthenticated));
}

#[tokio::test]
async fn change_is_seen_after_a_while_without_a_new_id() {
    let (old, new) = (Issuer::hs256(), Issuer::es256());
    let file = Scratch::new("changed");
    file.write(jwks(&[old.jwk("a")]));
    let jwt = file.jwt().unwrap();
    let token = old.sign_as("a", &claims(json!({})));
    assert!(who(&jwt, &token).await.is_ok());
    file.write(jwks(&[new.jwk("a")]));
    pass(6).await;
    assert_eq!(who(&jwt, &token).await, Err(Refusal::Unauthenticated));
    let token = new.sign_as("a", &claims(json!({})));
    assert!(who(&jwt, &token).await.is_ok());
}

#[tokio::test]
async fn file_that_cannot_be_read_leaves_the_keys_for_a_day() {
    let issuer = Issuer::hs256();
    let file = Scratch::new("broken");
    file.write(jwks(&[issuer.jwk("a")]));
    let jwt = file.jwt().unwrap();
    let token = issuer.sign_as("a", &claims(json!({"exp": 4_102_444_800_u64})));
    for broken in ["", "{\"keys\":[", "{\"keys\":[]}"] {
        file.write(broken);
        pass(6).await;
        assert!(who(&jwt, &token).await.is_ok());
    }
    fs::remove_file(&file.0).unwrap();
    pass(23 * 3_600).await;
    assert!(who(&jwt, &token).await.is_ok());
    pass(3_600).await;
    assert_eq!(who(&jwt, &token).await, Err(Refusal::Unavailable));
    // A token that no key of the file could be for is refused as ever.
    assert_eq!(who(&jwt, "a.b.c").await, Err(Refusal::Unauthenticated));
    file.write(jwks(&[issuer.jwk("a")]));
    pass(2).await;
    assert!(who(&jwt, &token).await.is_ok());
}

#[test]
fn file_has_to_be_good_to_begin_with() {
    let file = Scratch::new("unfit");
    let not_found = JwksError::Unreadable(io::ErrorKind::NotFound);
    assert_eq!(file.jwt().unwrap_err(), BuildError::Jwks(not_found));
    file.write("{}");
    let malformed = BuildError::Jwks(JwksError::Malformed);
    assert_eq!(file.jwt().unwrap_err(), malformed);
    file.write(" ".repeat(1024 * 1024 + 1));
    let limit = 1024 * 1024;
    let large = BuildError::Jwks(JwksError::TooLarge { limit });
    assert_eq!(file.jwt().unwrap_err(), large);
}

#[tokio::test]
async fn key_that_cannot_be_used_is_left_out_of_a_file() {
    let issuer = Issuer::hs256();
    let file = Scratch::new("weak");
    let weak = json!({"kty": "oct", "alg": "HS256", "kid": "weak", "k": "c2hvcnQ"});
    file.write(jwks(&[weak, issuer.jwk("a")]));
    let jwt = file.jwt().unwrap();
    let token = issuer.sign_as("a", &claims(json!({})));
    assert!(who(&jwt, &token).await.is_ok());
}
