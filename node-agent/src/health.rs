// SPDX-License-Identifier: Apache-2.0
//! The health checks of Services (`healthCheckNodePort`): load balancers ask them by HTTP which nodes
//! have endpoints of a Service.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::told::HealthCheck;

/// How long one connection may last: it carries one question.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(5);

/// Connections to one port at a time; further ones wait.
const CONNECTIONS: usize = 64;

/// The pause after a connection could not be accepted: the node is short of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many endpoints the node has, beside the body (KEP-3685 of Kubernetes).
const WEIGHT: &str = "x-load-balancing-endpoint-weight";

/// The servers of a node; they end when it is dropped.
#[derive(Debug, Default)]
pub struct HealthChecks {
    servers: BTreeMap<u16, Server>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Server {
    answer: watch::Sender<Answer>,
    task: AbortHandle,
}

/// What a server says at present.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    check: HealthCheck,
    /// Whether this node can forward to the endpoints.
    healthy: bool,
}

/// A health check cannot be answered.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on TCP {port} for the health check of Service {namespace}/{name}: {source}; stop \
     what listens there, or give the Service another healthCheckNodePort"
)]
pub struct HealthError {
    port: u16,
    namespace: String,
    name: String,
    source: io::Error,
}

impl HealthChecks {
    /// Answers these checks and no others. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// The first port that cannot be listened on; the others are answered.
    pub async fn keep(
        &mut self,
        checks: &BTreeMap<u16, HealthCheck>,
        healthy: bool,
    ) -> Result<(), HealthError> {
        self.servers.retain(|port, server| {
            let stays = checks.contains_key(port);
            if !stays {
                server.task.abort();
            }
            stays
        });
        while self.tasks.try_join_next().is_some() {}
        let mut result = Ok(());
        for (port, check) in checks {
            let answer = Answer {
                check: check.clone(),
                healthy,
            };
            if let Some(server) = self.servers.get(port) {
                server.answer.send_if_modified(|last| {
                    let changes = *last != answer;
                    *last = answer;
                    changes
                });
                continue;
            }
            match listen(*port).await {
                Ok(listener) => {
                    let (answer, current) = watch::channel(answer);
                    let task = self.tasks.spawn(serve(listener, current));
                    self.servers.insert(*port, Server { answer, task });
                }
                Err(source) => {
                    let error = HealthError {
                        port: *port,
                        namespace: check.namespace.clone(),
                        name: check.name.clone(),
                        source,
                    };
                    result = result.and(Err(error));
                }
            }
        }
        result
    }

    /// Says on every port that this node forwards nothing.
    pub fn unhealthy(&self) {
        for server in self.servers.values() {
            server.answer.send_modify(|answer| answer.healthy = false);
        }
    }
}

/// On all addresses of both families, or of IPv4 where the kernel has no IPv6.
async fn listen(port: u16) -> io::Result<TcpListener> {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    match TcpListener::bind(any).await {
        Err(error) if error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        other => other,
    }
}

async fn serve(listener: TcpListener, current: watch::Receiver<Answer>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut exchanges = JoinSet::new();
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        while exchanges.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let response = current.borrow().response();
                exchanges.spawn(async move {
                    // Who asks too slowly, or leaves, gets no answer.
                    drop(timeout(EXCHANGE_LIMIT, exchange(stream, response)).await);
                    drop(permit);
                });
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn exchange(stream: TcpStream, response: Response<Full<Bytes>>) -> hyper::Result<()> {
    let service = service_fn(|_| std::future::ready(Ok::<_, Infallible>(response.clone())));
    http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

impl Answer {
    fn response(&self) -> Response<Full<Bytes>> {
        let Self {
            check:
                HealthCheck {
                    namespace,
                    name,
                    local_endpoints,
                },
            healthy,
        } = self;
        let body = json!({
            "service": { "namespace": namespace, "name": name },
            "localEndpoints": local_endpoints,
            "serviceProxyHealthy": healthy,
        });
        let mut response = Response::new(Full::from(body.to_string()));
        if !healthy || *local_endpoints == 0 {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(WEIGHT, HeaderValue::from(*local_endpoints));
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn answer(local_endpoints: u32, healthy: bool) -> (u16, String, String) {
        let check = HealthCheck {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            local_endpoints,
        };
        let response = Answer { check, healthy }.response();
        let weight = response.headers()[WEIGHT].to_str().unwrap().to_owned();
        let status = response.status().as_u16();
        let body = response.into_body().collect();
        let body = futures_util::FutureExt::now_or_never(body)
            .unwrap()
            .unwrap();
        let body = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        (status, weight, body)
    }

    #[test]
    fn a_node_with_endpoints_is_taken_and_says_how_many_it_has() {
        let (status, weight, body) = answer(2, true);
        assert_eq!((status, weight.as_str()), (200, "2"));
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let wanted = json!({
            "service": { "namespace": "shop", "name": "web" },
            "localEndpoints": 2,
            "serviceProxyHealthy": true,
        });
        assert_eq!(body, wanted);
    }

    #[test]
    fn a_node_without_endpoints_or_that_forwards_nothing_is_not() {
        let (status, weight, _) = answer(0, true);
        assert_eq!((status, weight.as_str()), (503, "0"));
        let (status, weight, body) = answer(2, false);
        assert_eq!((status, weight.as_str()), (503, "2"));
        assert!(body.contains(r#""serviceProxyHealthy":false"#), "{body}");
    }
}
