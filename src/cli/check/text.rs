//! What `gmem check` finds out, in words.

use std::fmt::Write as _;

use gmem::gpu::shaders::prelude::GROUP;
use gmem_hal::counted;

use super::facts::{BindingFacts, Checked, EntryFacts, FileFacts};

const LEGEND: &str = "\
static: pages are known on the host before a pass; probe: found on the device before a pass; attempt: what missed a page is undone, and
run again with it; resident: all has to fit at once.
Whatever it says, a launch whose bindings all fit in device memory is one pass, without a probe.
";

/// Everything, with a line of sums at the end.
#[must_use]
pub fn draw(checked: &Checked) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_all(&mut text, checked);
    text
}

fn write_all(text: &mut String, checked: &Checked) -> std::fmt::Result {
    for file in &checked.files {
        write_file(text, file)?;
    }
    let entries = || checked.files.iter().flat_map(|file| &file.entries);
    let refused = entries().filter(|e| e.unsupported.is_some()).count();
    let unread = checked.files.iter().filter(|f| f.error.is_some()).count();
    if entries().any(|e| e.footprint.is_some()) {
        text.push_str(LEGEND);
    }
    write!(
        text,
        "{}, {}: ",
        counted(checked.files.len() as u64, "file"),
        counted(entries().count() as u64, "entry point"),
    )?;
    match (refused, unread) {
        (0, 0) => writeln!(text, "all supported"),
        (refused, 0) => writeln!(text, "{refused} not supported"),
        (refused, unread) => writeln!(
            text,
            "{refused} not supported, {} not understood",
            counted(unread as u64, "file")
        ),
    }
}

fn write_file(text: &mut String, file: &FileFacts) -> std::fmt::Result {
    writeln!(text, "{}", file.file)?;
    if let Some(error) = &file.error {
        writeln!(text, "  error: {}", error.replace('\n', "\n  "))?;
    } else if file.all.is_empty() {
        writeln!(text, "  no compute entry point")?;
    } else if file.entries.is_empty() {
        writeln!(text, "  no entry point of that name")?;
    }
    for entry in &file.entries {
        write_entry(text, entry)?;
    }
    writeln!(text)
}

fn write_entry(text: &mut String, entry: &EntryFacts) -> std::fmt::Result {
    write!(text, "  {}", entry.name)?;
    if let Some([x, y, z]) = entry.workgroup_size {
        write!(text, ", workgroups of {x} x {y} x {z}")?;
    }
    writeln!(text)?;
    if let Some(unsupported) = &entry.unsupported {
        let line = unsupported
            .line
            .map_or_else(String::new, |line| format!("line {line}: "));
        writeln!(text, "    NOT SUPPORTED: {line}{}", unsupported.what)?;
    }
    for name in &entry.assumed {
        writeln!(
            text,
            "    override `{name}` has no value by default: taken to be 1 (--override {name}=VALUE for another)"
        )?;
    }
    write_bindings(text, &entry.bindings)?;
    if !entry.pointers.is_empty() {
        writeln!(text, "    {}", entry.pointers)?;
    }
    if let Some(hazard) = entry.hazard {
        writeln!(text, "    hazard class {hazard}: {}", entry.hazard_why)?;
    }
    if let Some(footprint) = entry.footprint {
        writeln!(text, "    footprint {footprint}: {}", entry.why)?;
    }
    for binding in &entry.bindings {
        if let Some(footprint) = binding.footprint
            && (entry.footprint != Some(footprint) || footprint != "static")
        {
            writeln!(
                text,
                "      `{}` {footprint}: {}",
                binding.name, binding.why
            )?;
        }
    }
    if !entry.variants.is_empty() {
        let variants: Vec<String> = entry
            .variants
            .iter()
            .map(|v| format!("{} {}", v.mode, v.translation))
            .collect();
        let most = entry.variants.iter().map(|v| v.storage_buffers).max();
        writeln!(
            text,
            "    variants: {}; valid, with at most {}",
            variants.join(", "),
            counted(most.unwrap_or(0) as u64, "storage buffer")
        )?;
    }
    Ok(())
}

fn write_bindings(text: &mut String, bindings: &[BindingFacts]) -> std::fmt::Result {
    let rows: Vec<[String; 5]> = bindings
        .iter()
        .map(|b| {
            [
                if b.group == GROUP {
                    "-".to_owned()
                } else {
                    format!("{}.{}", b.group, b.binding)
                },
                b.name.clone(),
                b.ty.clone(),
                b.declared.unwrap_or(b.kind).to_owned(),
                b.used.map_or_else(String::new, |used| used.words()),
            ]
        })
        .collect();
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &rows {
        let mut line = String::from("   ");
        for (cell, width) in row.iter().zip(widths) {
            write!(line, " {cell:<width$} ")?;
        }
        writeln!(text, "{}", line.trim_end())?;
    }
    Ok(())
}
