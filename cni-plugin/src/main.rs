// SPDX-License-Identifier: Apache-2.0
//! `culvert-cni`: environment and stdin in, one JSON object on stdout and an exit code out.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use cni_plugin::command;
use cni_plugin::request::Request;
use cni_plugin::spec::{Code, Environment, Error, SpecVersion};
use serde_json::Value;

/// No network configuration is larger.
const MAX_STDIN_BYTES: u64 = 4 * 1024 * 1024;

fn main() -> ExitCode {
    let (output, code) = match answer() {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(reply)) => (reply, ExitCode::SUCCESS),
        Err((version, error)) => (error.to_json(version), ExitCode::FAILURE),
    };
    match writeln!(io::stdout(), "{output}") {
        Ok(()) => code,
        // Whoever called does not listen any more.
        Err(_) => ExitCode::FAILURE,
    }
}

fn answer() -> Result<Option<Value>, (SpecVersion, Error)> {
    let newest = |error| (SpecVersion::NEWEST, error);
    let environment = Environment::new(std::env::vars_os());
    let stdin = read_stdin().map_err(newest)?;
    let request =
        Request::parse(&environment, &stdin).map_err(|refused| (refused.version, refused.error))?;
    let version = request.version();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            (
                version,
                Error::new(Code::Io, format!("cannot start: {error}")),
            )
        })?;
    runtime
        .block_on(command::run(&request))
        .map_err(|error| (version, error))
}

fn read_stdin() -> Result<Vec<u8>, Error> {
    let mut stdin = Vec::new();
    io::stdin()
        .take(MAX_STDIN_BYTES.saturating_add(1))
        .read_to_end(&mut stdin)
        .map_err(|error| Error::new(Code::Io, format!("cannot read stdin: {error}")))?;
    if u64::try_from(stdin.len()).is_ok_and(|length| length <= MAX_STDIN_BYTES) {
        return Ok(stdin);
    }
    Err(Error::new(
        Code::Decode,
        format!("stdin holds more than {MAX_STDIN_BYTES} bytes"),
    ))
}
