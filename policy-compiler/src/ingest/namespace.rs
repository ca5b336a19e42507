// SPDX-License-Identifier: Apache-2.0
//! Namespaces: their labels.

use k8s_openapi::api::core::v1::Namespace;

use super::{Rejected, meta};
use crate::model::{Kind, Labels, METADATA_NAME, Name};

pub(super) fn parse(object: &Namespace) -> Result<(Name, Labels), Rejected> {
    let name = meta::key(Kind::Namespace, &object.metadata)?.name;
    let mut labels = object.metadata.labels.clone().unwrap_or_default();
    // The API server sets it on every namespace; manifests seldom say it.
    labels.insert(METADATA_NAME.to_owned(), name.to_string());
    Ok((name, Labels::from(&labels)))
}
