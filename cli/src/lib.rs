// SPDX-License-Identifier: Apache-2.0
//! The operator's tool `culvert`: asks the controller's REST API and prints what it says.
#![forbid(unsafe_code)]

mod args;
mod client;
mod offline;
mod output;
mod request;
mod table;

use args::VerdictArgs;

pub use args::{Args, Command, Format};
pub use client::ClientError;

/// What to print, and whether the answer is no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// A connection that was asked about would not pass.
    pub denied: bool,
}

/// Asks what the command line asks for.
///
/// # Errors
/// The API cannot be reached, refuses the request, or answers something else than its own version
/// of this program expects. Without a controller: the manifests have errors, or name no such Pod.
pub fn run(args: &Args) -> anyhow::Result<Answer> {
    if let Command::Verdict(asked) = &args.command {
        let verdict = match &asked.source {
            Some(directory) => offline::verdict(directory, asked)?,
            None => client::parse(&fetch(args)?)?,
        };
        return verdict_answer(args, asked, &verdict);
    }
    let body = fetch(args)?;
    let text = match args.output {
        Format::Json => pretty(&client::parse::<serde_json::Value>(&body)?)?,
        Format::Text => match &args.command {
            Command::Status => output::status(&client::parse(&body)?),
            Command::Nodes => output::nodes(&client::parse(&body)?),
            Command::Pods => output::pods(&client::parse(&body)?),
            Command::Policies { rules: false } => output::policies(&client::parse(&body)?),
            Command::Policies { rules: true } => output::policy_rules(&client::parse(&body)?),
            Command::Flows(_) => output::flows(&client::parse(&body)?),
            Command::Explain { .. } => output::explain(&client::parse(&body)?),
            Command::Verdict(_) => output::verdict(&client::parse(&body)?),
            Command::Source => output::source(&client::parse(&body)?),
        },
    };
    Ok(Answer {
        text,
        denied: false,
    })
}

fn fetch(args: &Args) -> anyhow::Result<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let path = request::path(&args.command);
    Ok(runtime
        .block_on(client::fetch(args.api.as_ref(), &path))?
        .into())
}

fn verdict_answer(
    args: &Args,
    asked: &VerdictArgs,
    verdict: &api_types::Verdict,
) -> anyhow::Result<Answer> {
    let text = if asked.json || args.output == Format::Json {
        pretty(verdict)?
    } else {
        output::verdict(verdict)
    };
    Ok(Answer {
        text,
        denied: !verdict.allowed,
    })
}

fn pretty(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
