// SPDX-License-Identifier: Apache-2.0
//! One HTTP request to the controller, over a unix socket or TCP.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use api_types::Refusal;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UnixStream};

use crate::args::Api;

/// A controller that does not answer in this time is not going to.
const TIMEOUT: Duration = Duration::from_secs(20);

/// More than a million flows; a body beyond is not the controller's.
const MAX_BODY: usize = 1 << 30;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "no controller answers at {address}: {source}. Start one with `culvert-controller --source \
         dir:PATH`, or point at another with --api unix:PATH, --api http://ADDRESS:PORT or CULVERT_API"
    )]
    Unreachable {
        /// What was tried.
        address: String,
        /// What the operating system said of the last one.
        source: io::Error,
    },
    /// No answer in time.
    #[error("the controller at {address} did not answer within {} s; see its log", TIMEOUT.as_secs())]
    Timeout {
        /// Who was asked.
        address: String,
    },
    /// The connection broke, or does not speak HTTP.
    #[error("{address} does not answer as a controller does: {reason}; does --api name one?")]
    NotHttp {
        /// Who was asked.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// The controller refused.
    #[error("{0}")]
    Refused(String),
    /// The body is not what this version expects.
    #[error(
        "the controller's answer is not understood ({0}); do its version and `culvert --version` agree?"
    )]
    Body(#[from] serde_json::Error),
}

/// The body of `GET path`.
///
/// # Errors
/// See [`ClientError`].
pub(crate) async fn fetch(api: Option<&Api>, path: &str) -> Result<Bytes, ClientError> {
    let candidates = match api {
        Some(api) => vec![api.clone()],
        None => vec![
            Api::Unix(PathBuf::from("/run/culvert/api.sock")),
            Api::Tcp("127.0.0.1:8080".to_owned()),
        ],
    };
    let tried: Vec<String> = candidates.iter().map(ToString::to_string).collect();
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for api in &candidates {
        let address = api.to_string();
        let connected = tokio::time::timeout(TIMEOUT, connect(api)).await;
        match connected {
            Err(_) => return Err(ClientError::Timeout { address }),
            // A socket that exists and may not be opened says more than a port where nobody is.
            Ok(Err(_)) if failure.kind() == io::ErrorKind::PermissionDenied => {}
            Ok(Err(error)) => failure = error,
            Ok(Ok(stream)) => {
                return tokio::time::timeout(TIMEOUT, exchange(stream, &address, path))
                    .await
                    .unwrap_or(Err(ClientError::Timeout { address }));
            }
        }
    }
    Err(ClientError::Unreachable {
        address: tried.join(" or "),
        source: failure,
    })
}

/// A body as a value.
///
/// # Errors
/// [`ClientError::Body`].
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ClientError> {
    Ok(serde_json::from_slice(body)?)
}

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

async fn connect(api: &Api) -> io::Result<Box<dyn Stream>> {
    Ok(match api {
        Api::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Api::Tcp(host) => Box::new(TcpStream::connect(host).await?),
    })
}

async fn exchange(
    stream: Box<dyn Stream>,
    address: &str,
    path: &str,
) -> Result<Bytes, ClientError> {
    let broken = |reason: String| ClientError::NotHttp {
        address: address.to_owned(),
        reason,
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(error.to_string()))?;
    let driver = tokio::spawn(connection);
    let request = Request::get(path)
        .header("host", "culvert")
        .body(Empty::<Bytes>::new())
        .map_err(|error| broken(error.to_string()))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| broken(error.to_string()))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BODY)
        .collect()
        .await
        .map_err(|error| broken(error.to_string()))?
        .to_bytes();
    driver.abort();
    if status == StatusCode::OK {
        return Ok(body);
    }
    Err(match serde_json::from_slice::<Refusal>(&body) {
        Ok(refusal) => ClientError::Refused(refusal.error),
        Err(_) => broken(format!("HTTP status {status}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreachable_api_names_what_was_tried_and_the_cure() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let api = Api::Unix("/nonexistent/culvert.sock".into());
        let error = runtime
            .block_on(fetch(Some(&api), "/v1/status"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("unix:/nonexistent/culvert.sock"), "{error}");
        assert!(error.contains("culvert-controller --source"), "{error}");
        assert!(error.contains("CULVERT_API"), "{error}");
    }
}
