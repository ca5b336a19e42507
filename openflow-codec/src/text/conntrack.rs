// SPDX-License-Identifier: Apache-2.0
//! `ct` and `nat` in text (ovs-actions(7)).

use std::fmt;
use std::net::IpAddr;

use super::action::{parse_actions, parse_subfield, spell_actions, spell_subfield};
use super::token::{Token, small, tokens};
use super::value::{parse_table, spell_table};
use super::{Names, TextError};
use crate::action::{Ct, CtZone, Nat, NatKind};

const ALGS: [(u16, &str); 2] = [(21, "ftp"), (69, "tftp")];

/// `ct(commit,table=1,zone=2,nat(...),exec(...),alg=ftp)`.
pub(super) fn spell_ct(f: &mut fmt::Formatter<'_>, ct: &Ct, names: &Names) -> fmt::Result {
    f.write_str("ct(")?;
    let mut first = true;
    let mut comma = |f: &mut fmt::Formatter<'_>| match std::mem::take(&mut first) {
        true => Ok(()),
        false => f.write_str(","),
    };
    if ct.commit {
        comma(f)?;
        f.write_str("commit")?;
    }
    if ct.force {
        comma(f)?;
        f.write_str("force")?;
    }
    if let Some(table) = ct.table {
        comma(f)?;
        f.write_str("table=")?;
        spell_table(f, table, names)?;
    }
    match ct.zone {
        CtZone::Immediate(0) => {}
        CtZone::Immediate(zone) => {
            comma(f)?;
            write!(f, "zone={zone}")?;
        }
        CtZone::Field(subfield) => {
            comma(f)?;
            f.write_str("zone=")?;
            spell_subfield(f, subfield)?;
        }
    }
    if let Some(nat) = &ct.nat {
        comma(f)?;
        spell_nat(f, nat)?;
    }
    if !ct.exec.is_empty() {
        comma(f)?;
        f.write_str("exec(")?;
        spell_actions(f, &ct.exec, names)?;
        f.write_str(")")?;
    }
    if ct.alg != 0 {
        comma(f)?;
        match ALGS.iter().find(|(port, _)| *port == ct.alg) {
            Some((_, name)) => write!(f, "alg={name}")?,
            None => write!(f, "alg={}", ct.alg)?,
        }
    }
    f.write_str(")")
}

fn spell_nat(f: &mut fmt::Formatter<'_>, nat: &Nat) -> fmt::Result {
    let Some(kind) = nat.kind else {
        return f.write_str("nat");
    };
    f.write_str(match kind {
        NatKind::Src => "nat(src",
        NatKind::Dst => "nat(dst",
    })?;
    if let Some((low, high)) = nat.addresses {
        f.write_str("=")?;
        let bracket = nat.ports.is_some();
        spell_address(f, low, bracket)?;
        if low != high {
            f.write_str("-")?;
            spell_address(f, high, bracket)?;
        }
    }
    // Like OVS, which has no text for ports alone.
    if let (Some(_), Some((low, high))) = (nat.addresses, nat.ports) {
        write!(f, ":{low}")?;
        if low != high {
            write!(f, "-{high}")?;
        }
    }
    for (set, word) in [
        (nat.persistent, ",persistent"),
        (nat.hash, ",hash"),
        (nat.random, ",random"),
    ] {
        if set {
            f.write_str(word)?;
        }
    }
    f.write_str(")")
}

fn spell_address(f: &mut fmt::Formatter<'_>, address: IpAddr, bracket: bool) -> fmt::Result {
    match address {
        IpAddr::V6(address) if bracket => write!(f, "[{address}]"),
        address => write!(f, "{address}"),
    }
}

pub(super) fn parse_ct(text: &str, names: &Names, depth: usize) -> Result<Ct, TextError> {
    let mut ct = Ct::default();
    for token in tokens(text)? {
        let Token { key, value, .. } = token;
        match key {
            "commit" => ct.commit = true,
            "force" => ct.force = true,
            "table" => ct.table = Some(parse_table(value, names)?),
            "zone" if value.contains('[') => ct.zone = CtZone::Field(parse_subfield(value)?),
            "zone" => ct.zone = CtZone::Immediate(small(key, value)?),
            "nat" => ct.nat = Some(parse_nat(value)?),
            "exec" => ct.exec = parse_actions(value, names, depth.saturating_add(1))?,
            "alg" => {
                ct.alg = match ALGS.iter().find(|(_, name)| *name == value) {
                    Some((port, _)) => *port,
                    None => small(key, value)?,
                }
            }
            key => return Err(TextError::unknown("argument of ct", key)),
        }
    }
    Ok(ct)
}

fn parse_nat(text: &str) -> Result<Nat, TextError> {
    let mut nat = Nat::default();
    for token in tokens(text)? {
        match token.key {
            "src" | "dst" => {
                nat.kind = Some(match token.key {
                    "src" => NatKind::Src,
                    _ => NatKind::Dst,
                });
                if !token.value.is_empty() {
                    parse_range(token.value, &mut nat)
                        .ok_or_else(|| TextError::bad_value("nat", token.value))?;
                }
            }
            "persistent" => nat.persistent = true,
            "hash" => nat.hash = true,
            "random" => nat.random = true,
            key => return Err(TextError::unknown("argument of nat", key)),
        }
    }
    Ok(nat)
}

/// `ADDRESS[-ADDRESS][:PORT[-PORT]]`; IPv6 addresses stand in brackets when ports follow.
fn parse_range(text: &str, nat: &mut Nat) -> Option<()> {
    let colons = text.matches(':').count();
    let (addresses, ports) = if text.starts_with('[') {
        match text.rsplit_once("]:") {
            Some((addresses, ports)) => (addresses, Some(ports)),
            None => (text, None),
        }
    } else if colons == 1 {
        let (addresses, ports) = text.split_once(':')?;
        (addresses, Some(ports))
    } else {
        (text, None)
    };
    let clean = addresses.replace(['[', ']'], "");
    let (low, high) = clean.split_once('-').unwrap_or((&clean, &clean));
    nat.addresses = Some((low.parse().ok()?, high.parse().ok()?));
    if let Some(ports) = ports {
        let (low, high) = ports.split_once('-').unwrap_or((ports, ports));
        nat.ports = Some((low.parse().ok()?, high.parse().ok()?));
    }
    Some(())
}
