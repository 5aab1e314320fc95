//! The full table: every row with all that was measured.

use super::svg::escape;
use crate::cli::bench::json::{Group, Record};
use crate::cli::bench::row::Row;
use crate::cli::bench::show;
use crate::cli::size;

const HEADINGS: [&str; 15] = [
    "case",
    "figure",
    "error",
    "goal",
    "met",
    "ratio",
    "ours, ms",
    "spread",
    "GB/s",
    "baseline, ms",
    "spread",
    "GB/s",
    "bytes",
    "baseline's bytes",
    "verified",
];

/// All rows, by group.
#[must_use]
pub fn table(record: &Record) -> String {
    let groups = record.by_group();
    if groups.is_empty() {
        return "<p>No rows.</p>\n".to_owned();
    }
    let mut text = String::from("<div class=\"wide\"><table class=\"rows\">\n<thead><tr>");
    for heading in HEADINGS {
        text += &format!("<th scope=\"col\">{heading}</th>");
    }
    text += "</tr></thead>\n";
    for group in &groups {
        text += &body(group);
    }
    text + "</table></div>\n"
}

/// A group's id and what it is about.
#[must_use]
pub fn heading(group: &Group<'_>) -> String {
    match group.title {
        "" => group.id.to_owned(),
        title => format!("{}: {title}", group.id),
    }
}

fn body(group: &Group<'_>) -> String {
    let mut words = heading(group);
    if let Some(baseline) = group.baseline() {
        words += &format!("; against {baseline}");
    }
    let mut text = format!(
        "<tbody>\n<tr><th scope=\"rowgroup\" colspan=\"{}\">{}</th></tr>\n",
        HEADINGS.len(),
        escape(&words)
    );
    for row in &group.rows {
        text += &line(row, group.baseline().is_none());
    }
    text + "</tbody>\n"
}

fn line(row: &Row, says_baseline: bool) -> String {
    let or_none =
        |value: Option<f64>, show: fn(f64) -> String| value.map_or_else(|| "-".to_owned(), show);
    let bytes = |bytes: u64| {
        if bytes == 0 {
            "-".to_owned()
        } else {
            size::show(bytes)
        }
    };
    let mut case = escape(&row.case);
    if says_baseline && !row.baseline.is_empty() {
        case += &format!("<small>against {}</small>", escape(&row.baseline));
    }
    if !row.note.is_empty() {
        case += &format!("<small>{}</small>", escape(&row.note));
    }
    let met = show::met(row);
    let verified = if row.verified { "yes" } else { "NO" };
    let mut text = format!("<tr><th scope=\"row\">{case}</th>");
    for cell in [
        escape(&show::figure(row)),
        show::error(row),
        or_none(row.goal, show::short),
        format!(
            "<span class=\"{}\">{met}</span>",
            if row.meets() == Some(false) {
                "over"
            } else {
                "met"
            }
        ),
        show::number(row.ratio),
        or_none(row.ours_s, show::millis),
        or_none(row.ours_spread, show::percent),
        or_none(row.gb_s, show::rate),
        or_none(row.baseline_s, show::millis),
        or_none(row.baseline_spread, show::percent),
        or_none(row.baseline_gb_s, show::rate),
        bytes(row.bytes),
        bytes(row.baseline_bytes.unwrap_or(row.bytes)),
        format!(
            "<span class=\"{}\">{verified}</span>",
            if row.verified { "met" } else { "over" }
        ),
    ] {
        text += &format!("<td>{cell}</td>");
    }
    text + "</tr>\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::json::tests::record;

    #[test]
    fn every_row_is_there_with_as_many_cells_as_headings() {
        let record = record();
        let text = table(&record);
        assert_eq!(
            text.matches("<th scope=\"row\">").count(),
            record.rows.len()
        );
        assert_eq!(
            text.matches("<td>").count(),
            record.rows.len() * (HEADINGS.len() - 1)
        );
        assert!(
            text.contains("P1: warm, fits; against plain wgpu"),
            "{text}"
        );
        assert!(
            text.contains("<small>a remark</small>")
                && text.contains("<span class=\"over\">NO</span>"),
            "{text}"
        );
        assert!(
            text.contains("a &lt;table&gt; of &quot;pointers&quot; &amp; co"),
            "{text}"
        );
    }

    #[test]
    fn no_rows_are_told() {
        assert_eq!(table(&Record::default()), "<p>No rows.</p>\n");
    }
}
