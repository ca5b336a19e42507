// SPDX-License-Identifier: Apache-2.0
//! Entry point of `culvert`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    let outcome = cli::run(&args).and_then(|answer| {
        let mut stdout = std::io::stdout().lock();
        match stdout
            .write_all(answer.text.as_bytes())
            .and_then(|()| stdout.flush())
        {
            // The reader of a pipe may have seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            other => other?,
        }
        Ok(answer.denied)
    });
    match outcome {
        Ok(false) => ExitCode::SUCCESS,
        // "No" is an answer, and no error.
        Ok(true) => ExitCode::from(1),
        Err(error) => {
            eprintln!("culvert: {error:#}");
            match args.command {
                cli::Command::Verdict(_) => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
