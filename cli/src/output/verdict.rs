// SPDX-License-Identifier: Apache-2.0
//! A verdict: one line for the answer, then what each tier says.

use api_types::{EndpointVerdict, Reason, Says, Step, Verdict};

/// The answer first, then both directions, tier by tier.
pub(crate) fn verdict(answer: &Verdict) -> String {
    let Verdict { from, to, .. } = answer;
    format!("{}: {from} -> {to}\n{}", word(answer), reasoning(answer))
}

fn word(answer: &Verdict) -> &'static str {
    if answer.allowed { "allowed" } else { "denied" }
}

/// Everything but the answer; of a Service, the same for each endpoint, indented.
fn reasoning(answer: &Verdict) -> String {
    let mut text = String::new();
    if let Some(note) = &answer.note {
        text.push_str(&format!("  {note}\n"));
    }
    for step in &answer.steps {
        text.push_str(&paragraph(step));
    }
    for reason in &answer.depends {
        text.push_str(&format!(
            "  depends on an address that is not known: {}\n",
            sentence(reason)
        ));
    }
    for EndpointVerdict { pod, verdict } in &answer.endpoints {
        let pod = pod.as_ref().map(|pod| format!(" ({pod})"));
        let pod = pod.unwrap_or_default();
        text.push_str(&format!("  {}: {}{pod}\n", word(verdict), verdict.to));
        for line in reasoning(verdict).lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}

fn paragraph(step: &Step) -> String {
    let Step {
        direction,
        tier,
        says,
        reasons,
        isolating,
        staged,
        ..
    } = step;
    let says = match says {
        Says::Allowed => "allowed",
        Says::Denied => "denied",
        Says::Passed => "passed",
        Says::Nothing => "-",
    };
    let mut text = String::new();
    let lead = format!("  {direction:<7}  {tier:<13}  {says:<7}  ");
    let blank = " ".repeat(lead.len());
    for (index, reason) in reasons.iter().enumerate() {
        let lead = if index == 0 { &lead } else { &blank };
        text.push_str(&format!("{lead}{}\n", sentence(reason)));
    }
    let named = |name: &String| {
        reasons
            .iter()
            .any(|reason| reason.policy.as_ref() == Some(name))
    };
    for name in isolating.iter().filter(|name| !named(name)) {
        text.push_str(&format!("{blank}{name}: isolates for {direction}, too\n"));
    }
    for reason in staged {
        text.push_str(&format!("{blank}{}\n", sentence(reason)));
    }
    text
}

fn sentence(reason: &Reason) -> String {
    match &reason.policy {
        Some(policy) => format!("{policy}: {}", reason.why),
        None => reason.why.clone(),
    }
}
