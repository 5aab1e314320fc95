//! The table that `gmem demo` ends with: one row for each demonstration, with a line for each cause that moved bytes.

use std::fmt::Write as _;

use super::report::Report;
use super::size;

/// One demonstration's row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its report.
    pub report: Report,
    /// The same kernel on plain wgpu.
    pub plain: Plain,
    /// How it was verified: `yes`, or in what it differs.
    pub verified: String,
}

/// The same kernel on plain wgpu.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Plain {
    /// It took so many seconds.
    Seconds(f64),
    /// Its data does not fit the adapter's limits or memory, or there is no wgpu adapter.
    DoesNotFit,
}

const HEADINGS: [&str; 10] = [
    "demo",
    "data",
    "device",
    "factor",
    "passes",
    "faults",
    "bytes moved",
    "seconds",
    "plain",
    "verified",
];
/// Columns of words; the others are numbers, and end on the right.
const WORDS: [bool; 10] = [
    true, false, false, false, false, false, true, false, false, true,
];

/// What the signs in the table mean.
pub const LEGEND: &str = "\
> to the device, < back to the host; seconds: from the first launch to the results in the CPU's hands;
plain: the same on plain wgpu, copies included, - where it cannot be run";

/// The table, with a line of headings and the legend.
#[must_use]
pub fn draw(rows: &[Row]) -> String {
    let cells: Vec<Vec<[String; 10]>> = rows.iter().map(lines).collect();
    let mut widths = HEADINGS.map(|heading| heading.chars().count());
    for line in cells.iter().flatten() {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut table = String::new();
    push(&mut table, &HEADINGS.map(str::to_owned), &widths);
    push(&mut table, &widths.map(|width| "-".repeat(width)), &widths);
    for line in cells.iter().flatten() {
        push(&mut table, line, &widths);
    }
    table.push_str(LEGEND);
    table.push('\n');
    table
}

fn push(table: &mut String, line: &[String; 10], widths: &[usize; 10]) {
    let mut text = String::new();
    for ((cell, width), words) in line.iter().zip(widths).zip(WORDS) {
        // Writing to a string does not fail.
        let _ = if words {
            write!(text, "{cell:<width$}  ")
        } else {
            write!(text, "{cell:>width$}  ")
        };
    }
    table.push_str(text.trim_end());
    table.push('\n');
}

fn lines(row: &Row) -> Vec<[String; 10]> {
    let report = &row.report;
    let to_device = report.moved.host_to_device.each().map(|moved| (">", moved));
    let to_host = report.moved.device_to_host.each().map(|moved| ("<", moved));
    let mut moved: Vec<String> = to_device
        .chain(to_host)
        .map(|(sign, (cause, bytes))| format!("{sign} {cause} {}", size::show(bytes)))
        .collect();
    if moved.is_empty() {
        moved.push("nothing".to_owned());
    }
    let factor = report.bytes_bound as f64 / report.device_memory.max(1) as f64;
    let mut first = Some([
        report.name.clone().unwrap_or_default(),
        size::show(report.bytes_bound),
        size::show(report.device_memory),
        format!("{factor:.1}x"),
        report.passes.to_string(),
        report.faults.to_string(),
        String::new(),
        format!("{:.2}", report.seconds.total),
        match row.plain {
            Plain::Seconds(seconds) => format!("{seconds:.2}"),
            Plain::DoesNotFit => "-".to_owned(),
        },
        row.verified.clone(),
    ]);
    moved
        .into_iter()
        .map(|moved| {
            let mut line = first.take().unwrap_or_default();
            line[6] = moved;
            line
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use gmem_hal::Cause;

    use super::*;

    fn row(name: &str) -> Row {
        let mut report = Report {
            name: Some(name.to_owned()),
            bytes_bound: 128 << 20,
            device_memory: 16 << 20,
            passes: 1234,
            faults: 98_765,
            ..Report::default()
        };
        report.seconds.total = 12.345;
        report.moved.host_to_device.add(Cause::Demand, 89_478_485);
        report.moved.host_to_device.add(Cause::Prefetch, 1023 << 20);
        report.moved.device_to_host.add(Cause::Eviction, 42 << 20);
        Row {
            report,
            plain: Plain::Seconds(0.5),
            verified: "yes".to_owned(),
        }
    }

    #[test]
    fn columns_are_aligned_and_fit_a_hundred_characters() {
        let mut second = row("histogram");
        second.plain = Plain::DoesNotFit;
        let table = draw(&[row("triad"), second]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 2 + 3 + 3 + 2, "{table}");
        let moved = lines[0].find("bytes moved").unwrap();
        assert_eq!(&lines[2][moved..moved + 8], "> demand");
        assert_eq!(&lines[3][moved..moved + 10], "> prefetch");
        assert_eq!(&lines[4][moved..moved + 10], "< eviction");
        assert!(lines[3][..moved].trim().is_empty());
        let verified = lines[0].find("verified").unwrap();
        assert_eq!(
            (&lines[2][verified..], &lines[5][verified..]),
            ("yes", "yes")
        );
        assert!(
            lines[2].contains(" 8.0x ")
                && lines[2].contains(" 12.35 ")
                && lines[2].contains(" 0.50 "),
            "{table}"
        );
        assert!(
            lines[..8].iter().all(|line| line.chars().count() <= 100),
            "{table}"
        );
    }

    #[test]
    fn what_moved_nothing_says_so() {
        let mut row = row("heat");
        row.report.moved = super::super::report::Moved::default();
        assert!(draw(&[row]).contains("nothing"));
        assert!(draw(&[]).starts_with("demo"));
    }
}
