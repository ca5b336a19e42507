// SPDX-License-Identifier: Apache-2.0
//! Bounded waiting for a condition, with a message that names what was awaited.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Asks `condition` until it answers `Some`, for at most `limit`.
///
/// `condition` answers `Ok(None)` for "not yet". An error is taken as "not yet" too, and is told
/// when time is up, because what is awaited often fails before it works.
pub fn until<T>(
    what: impl Display,
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let answer = condition();
        if let Ok(Some(value)) = answer {
            return Ok(value);
        }
        if start.elapsed() >= limit {
            match answer {
                Err(error) => bail!("waited {limit:?} in vain for {what}: {error:#}"),
                Ok(_) => bail!("waited {limit:?} in vain for {what}"),
            }
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// As [`until`], for a condition that is only true or false.
pub fn until_true(
    what: impl Display,
    limit: Duration,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    until(what, limit, || Ok(condition()?.then_some(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_what_was_awaited_and_the_last_reason() {
        let error = until_true("the moon", Duration::from_millis(5), || {
            bail!("it is cloudy")
        })
        .unwrap_err()
        .to_string();
        assert!(
            error.contains("the moon") && error.contains("cloudy"),
            "{error}"
        );
    }

    #[test]
    fn waiting_ends_as_soon_as_the_condition_holds() {
        let mut asked = 0;
        until_true("three", Duration::from_secs(60), || {
            asked += 1;
            Ok(asked == 3)
        })
        .unwrap();
        assert_eq!(asked, 3);
    }
}
