//! A plan as it is written: keys and types only, each value with its place in the text.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPlan {
    #[serde(default)]
    pub buffers: BTreeMap<String, Spanned<RawBuffer>>,
    #[serde(default)]
    pub kernels: BTreeMap<String, Spanned<RawKernel>>,
    #[serde(default)]
    pub steps: Vec<Spanned<RawStep>>,
}

/// `[buffers.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawBuffer {
    pub init: Spanned<String>,
    pub out: Option<Spanned<String>>,
    pub expect: Option<Spanned<String>>,
    pub within: Option<Spanned<f64>>,
}

/// `[kernels.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawKernel {
    pub file: Spanned<String>,
    pub entry: Option<Spanned<String>>,
    #[serde(default, rename = "override")]
    pub overrides: BTreeMap<String, Spanned<toml::Value>>,
}

/// `[[steps]]`: all keys that any step has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawStep {
    pub kernel: Option<Spanned<String>>,
    pub grid: Option<Spanned<Vec<u32>>>,
    pub bind: Option<BTreeMap<String, Spanned<String>>>,
    pub uniform: Option<BTreeMap<String, Spanned<String>>>,
    pub clear: Option<Spanned<String>>,
    pub swap: Option<Spanned<Vec<String>>>,
    pub repeat: Option<Spanned<u64>>,
    #[serde(rename = "for")]
    pub each: Option<Spanned<BTreeMap<String, Vec<toml::Value>>>>,
    pub until_zero: Option<Spanned<String>>,
    pub at_most: Option<Spanned<u64>>,
    pub steps: Option<Vec<Spanned<RawStep>>>,
}

impl RawStep {
    /// The keys that are there, in the order of the documentation.
    pub fn keys(&self) -> Vec<&'static str> {
        [
            ("kernel", self.kernel.is_some()),
            ("grid", self.grid.is_some()),
            ("bind", self.bind.is_some()),
            ("uniform", self.uniform.is_some()),
            ("clear", self.clear.is_some()),
            ("swap", self.swap.is_some()),
            ("repeat", self.repeat.is_some()),
            ("for", self.each.is_some()),
            ("until_zero", self.until_zero.is_some()),
            ("at_most", self.at_most.is_some()),
            ("steps", self.steps.is_some()),
        ]
        .into_iter()
        .filter(|(_, there)| *there)
        .map(|(key, _)| key)
        .collect()
    }
}
