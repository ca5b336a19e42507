// SPDX-License-Identifier: Apache-2.0
//! Where the API listens: unix sockets, and TCP on loopback.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use axum::Router;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::args::ApiAddress;

/// The API cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Others could read everything.
    #[error(
        "--api tcp:{0}: the API has no authentication, so it listens on loopback only; use \
         127.0.0.1, a unix socket, or --api-insecure-bind if everybody who reaches {0} may read everything"
    )]
    NotLoopback(SocketAddr),
    /// Another process listens.
    #[error("--api unix:{}: another controller listens there; stop it or name another path", .0.display())]
    InUse(PathBuf),
    /// The operating system refuses.
    #[error("--api {address}: {source}")]
    Io {
        /// What was given.
        address: ApiAddress,
        /// What the operating system says.
        source: io::Error,
    },
}

/// A listening API.
#[derive(Debug)]
pub enum Listener {
    /// On a unix socket, which is removed at the end.
    Unix(UnixListener, PathBuf),
    /// On TCP.
    Tcp(TcpListener),
}

/// Listens at `address`.
///
/// # Errors
/// See [`ListenError`].
pub async fn bind(address: &ApiAddress, insecure: bool) -> Result<Listener, ListenError> {
    let error = |source| ListenError::Io {
        address: address.clone(),
        source,
    };
    match address {
        ApiAddress::Tcp(socket) if !socket.ip().is_loopback() && !insecure => {
            Err(ListenError::NotLoopback(*socket))
        }
        ApiAddress::Tcp(socket) => {
            let listener = TcpListener::bind(socket).await.map_err(error)?;
            tracing::info!(address = %listener.local_addr().map_err(error)?, "API listens");
            Ok(Listener::Tcp(listener))
        }
        ApiAddress::Unix(path) => {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(error)?;
            }
            remove_stale(path).await?;
            let listener = UnixListener::bind(path).map_err(error)?;
            std::fs::set_permissions(path, Permissions::from_mode(0o660)).map_err(error)?;
            tracing::info!(path = %path.display(), "API listens");
            Ok(Listener::Unix(listener, path.clone()))
        }
    }
}

impl Listener {
    /// Serves until `shutdown`; requests under way are answered.
    ///
    /// # Errors
    /// Accepting fails for good.
    pub async fn serve(self, router: Router, shutdown: CancellationToken) -> io::Result<()> {
        let ended = shutdown.cancelled_owned();
        match self {
            Self::Tcp(listener) => {
                axum::serve(listener, router)
                    .with_graceful_shutdown(ended)
                    .await
            }
            Self::Unix(listener, path) => {
                let served = axum::serve(listener, router)
                    .with_graceful_shutdown(ended)
                    .await;
                if let Err(error) = std::fs::remove_file(&path) {
                    tracing::debug!(path = %path.display(), %error, "the API's socket cannot be removed");
                }
                served
            }
        }
    }
}

/// A socket that a killed controller left behind is removed; one where somebody answers is not.
async fn remove_stale(path: &Path) -> Result<(), ListenError> {
    match UnixStream::connect(path).await {
        Ok(_) => Err(ListenError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|source| ListenError::Io {
                address: ApiAddress::Unix(path.to_owned()),
                source,
            })
        }
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tcp_is_for_loopback_unless_said_otherwise() {
        let address = ApiAddress::Tcp("0.0.0.0:0".parse().unwrap());
        let error = bind(&address, false).await.unwrap_err().to_string();
        assert!(error.contains("--api-insecure-bind"), "{error}");
        assert!(bind(&address, true).await.is_ok());
    }

    #[tokio::test]
    async fn a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let address = ApiAddress::Unix(dir.path().join("sub/api.sock"));
        let first = bind(&address, false).await.unwrap();
        assert!(matches!(
            bind(&address, false).await,
            Err(ListenError::InUse(_))
        ));
        drop(first);
        assert!(bind(&address, false).await.is_ok());
    }
}
