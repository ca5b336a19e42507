// SPDX-License-Identifier: Apache-2.0
//! The operator's tool `culvert`: asks the controller's REST API and prints what it says.
#![forbid(unsafe_code)]

mod args;
mod client;
mod output;
mod request;
mod table;

pub use args::{Args, Command, Format};
pub use client::ClientError;

/// Asks what the command line asks for; the text to print.
///
/// # Errors
/// The API cannot be reached, refuses the request, or answers something else than its own version
/// of this program expects.
pub fn run(args: &Args) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let path = request::path(&args.command);
    let body = runtime.block_on(client::fetch(args.api.as_ref(), &path))?;
    match args.output {
        Format::Json => {
            let value: serde_json::Value = client::parse(&body)?;
            Ok(serde_json::to_string_pretty(&value)? + "\n")
        }
        Format::Text => Ok(match &args.command {
            Command::Status => output::status(&client::parse(&body)?),
            Command::Nodes => output::nodes(&client::parse(&body)?),
            Command::Pods => output::pods(&client::parse(&body)?),
            Command::Flows(_) => output::flows(&client::parse(&body)?),
            Command::Explain { .. } => output::explain(&client::parse(&body)?),
            Command::Source => output::source(&client::parse(&body)?),
        }),
    }
}
