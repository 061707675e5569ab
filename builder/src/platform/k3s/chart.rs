//! A Helm chart as a manifest: the resource HelmChart (helm.cattle.io/v1) of the controller that k3s brings, with the packed
//! chart in it, so that no repository is asked.

use std::fmt::Write as _;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::recipe::platform::k3s::Chart;

/// The controller hands the chart to its job in a ConfigMap, whose data may have 1 MiB (Kubernetes, "ConfigMaps").
const LIMIT: usize = 1 << 20;

/// A chart can't be embedded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not packed.
    #[error("chart `{0}` is no packed chart (gzip)\n  hint: `helm package` makes one")]
    NotPacked(String),
    /// It does not fit.
    #[error(
        "chart `{name}` has {found} bytes in base64, expected at most {LIMIT}\n  hint: leave charts that are switched off out of \
         its `charts/`, and pack it anew"
    )]
    TooLarge {
        /// The chart.
        name: String,
        /// Bytes.
        found: usize,
    },
}

/// The manifest for `chart`, whose packed form is `packed`.
pub(super) fn manifest(chart: &Chart, packed: &[u8], values: Option<&str>) -> Result<String, Error> {
    if !packed.starts_with(&[0x1f, 0x8b]) {
        return Err(Error::NotPacked(chart.name.clone()));
    }
    let content = BASE64_STANDARD.encode(packed);
    if content.len() > LIMIT {
        return Err(Error::TooLarge { name: chart.name.clone(), found: content.len() });
    }
    let mut text = format!(
        "apiVersion: helm.cattle.io/v1\nkind: HelmChart\nmetadata:\n  name: {}\n  namespace: kube-system\nspec:\n  \
         targetNamespace: {}\n  createNamespace: true\n",
        json!(chart.name),
        json!(chart.namespace)
    );
    if let Some(values) = values {
        // As in JSON, which YAML reads the same whatever the values hold.
        let _ = writeln!(text, "  valuesContent: {}", json!(values));
    }
    let _ = writeln!(text, "  chartContent: {content}");
    Ok(text)
}
