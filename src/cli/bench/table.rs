//! The table that `gmem bench` ends with: the rows of each group under its title, remarks as footnotes, and a line that sums up.

use std::fmt::Write as _;

use super::json::{Group, Record};
use super::row::Row;
use super::show;
use crate::cli::{printable, size};

const COLUMNS: usize = 13;
const HEADINGS: [&str; COLUMNS] = [
    "case", "figure", "err", "goal", "met", "ours ms", "+-", "GB/s", "base ms", "+-", "GB/s",
    "bytes", "verified",
];
/// Columns of words; the others are numbers, and end on the right.
const WORDS: [bool; COLUMNS] = [
    true, false, false, false, true, false, false, false, false, false, false, false, true,
];
/// What separates a column from the one before: spreads and rates belong to their times.
const GAPS: [usize; COLUMNS] = [2, 2, 1, 2, 2, 2, 1, 1, 2, 1, 1, 2, 2];
/// The widest that the first column becomes before it is continued on the next line.
const WIDEST: usize = 30;
/// The widest line of text.
const LINE: usize = 118;

/// What the signs in the table mean.
const LEGEND: &str = "\
figure: ours over the baseline, less is better, unless it has another unit: the mean of the sittings' ratios between
their quartiles, each the same of its turns (A B B A), not the ratio of the medians
err: the ratio's standard error as a part of it; met: at most the goal, or over it, with ? where chance decides
ms: the median; +-: the distance between its quartiles as a part of it; GB/s: the bytes of the row (powers of ten) a second
what groups and columns are about: docs/measured/README.md";

/// The whole result: the machine, a table for each group, footnotes, the legend and the sum.
#[must_use]
pub fn draw(record: &Record) -> String {
    let mut notes = Notes::default();
    let groups = record.by_group();
    let lines: Vec<Vec<[String; COLUMNS]>> = groups
        .iter()
        .map(|group| cells(group, &mut notes))
        .collect();
    let mut widths = HEADINGS.map(width);
    for line in lines.iter().flatten() {
        for (widest, cell) in widths.iter_mut().zip(line) {
            *widest = (*widest).max(width(cell));
        }
    }
    let mut text = String::new();
    for fact in show::facts(record) {
        push_wrapped(&mut text, "", &fact);
    }
    for (group, lines) in groups.iter().zip(&lines) {
        text.push('\n');
        push_wrapped(&mut text, "", &heading(group));
        push(&mut text, &HEADINGS.map(str::to_owned), &widths);
        for line in lines {
            push(&mut text, line, &widths);
        }
    }
    text.push('\n');
    for (number, note) in (1..).zip(&notes.0) {
        push_wrapped(&mut text, &format!("[{number}] "), note);
    }
    for left_out in &record.left_out {
        push_wrapped(
            &mut text,
            &format!("{}: left out: ", left_out.id),
            &left_out.reason,
        );
    }
    for failed in &record.failed {
        push_wrapped(
            &mut text,
            &format!("{} failed: ", failed.id),
            &failed.reason,
        );
    }
    if !groups.is_empty() {
        text.push_str(LEGEND);
        text.push('\n');
    }
    text.push_str(&record.summary());
    text.push('\n');
    printable(&text)
}

fn heading(group: &Group<'_>) -> String {
    let mut text = group.id.to_owned();
    if !group.title.is_empty() {
        let _ = write!(text, "  {}", group.title);
    }
    if let Some(baseline) = group.baseline() {
        let _ = write!(text, "; against {baseline}");
    }
    text
}

/// Footnotes; the same words are one.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    fn number(&mut self, note: String) -> usize {
        match self.0.iter().position(|said| *said == note) {
            Some(at) => at + 1,
            None => {
                self.0.push(note);
                self.0.len()
            }
        }
    }
}

fn cells(group: &Group<'_>, notes: &mut Notes) -> Vec<[String; COLUMNS]> {
    let one = group.baseline().is_some();
    let mut lines = Vec::new();
    for row in &group.rows {
        let mut case = row.case.clone();
        let against =
            (!one && !row.baseline.is_empty()).then(|| format!("against {}", row.baseline));
        let said = (!row.note.is_empty()).then(|| row.note.clone());
        for note in against.into_iter().chain(said) {
            let _ = write!(case, " [{}]", notes.number(note));
        }
        let mut first = Some(line(row));
        for part in wrap(&case, WIDEST) {
            let mut cells = first.take().unwrap_or_default();
            cells[0] = part;
            lines.push(cells);
        }
    }
    lines
}

/// The cells of a row, without its case.
fn line(row: &Row) -> [String; COLUMNS] {
    let or_none =
        |value: Option<f64>, show: fn(f64) -> String| value.map_or_else(|| "-".to_owned(), show);
    [
        String::new(),
        show::figure(row),
        show::error(row),
        or_none(row.goal, show::short),
        show::met(row).to_owned(),
        or_none(row.ours_s, show::millis),
        or_none(row.ours_spread, show::percent),
        or_none(row.gb_s, show::rate),
        or_none(row.baseline_s, show::millis),
        or_none(row.baseline_spread, show::percent),
        or_none(row.baseline_gb_s, show::rate),
        if row.bytes == 0 {
            "-".to_owned()
        } else {
            size::show(row.bytes)
        },
        if row.verified { "yes" } else { "NO" }.to_owned(),
    ]
}

fn push(table: &mut String, line: &[String; COLUMNS], widths: &[usize; COLUMNS]) {
    let mut text = String::new();
    for (column, cell) in line.iter().enumerate() {
        let (gap, width) = (GAPS[column], widths[column]);
        let space = " ".repeat(width.saturating_sub(self::width(cell)));
        text.push_str(&" ".repeat(gap));
        if WORDS[column] {
            text.push_str(cell);
            text.push_str(&space);
        } else {
            text.push_str(&space);
            text.push_str(cell);
        }
    }
    table.push_str(text.trim_end());
    table.push('\n');
}

/// Adds text under a label, further lines of it indented.
fn push_wrapped(table: &mut String, label: &str, text: &str) {
    let mut label = label.to_owned();
    for line in wrap(text, LINE.saturating_sub(width(&label))) {
        let indent = width(&label);
        table.push_str(&label);
        table.push_str(&line);
        table.push('\n');
        label = " ".repeat(indent.max(2));
    }
}

/// Lines of at most so many characters; at least one. A word that has more is broken.
fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text
        .split_inclusive(' ')
        .flat_map(|word| pieces(word, most.max(1)))
    {
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && width(line) + width(word.trim_end()) > most {
            lines.push(word.to_owned());
        } else {
            line.push_str(word);
        }
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines
}

/// A word in pieces of at most so many characters, the space at its end not counted.
fn pieces(word: &str, most: usize) -> Vec<&str> {
    if width(word.trim_end()) <= most {
        return vec![word];
    }
    let starts: Vec<usize> = (word.char_indices().map(|(at, _)| at).step_by(most))
        .chain([word.len()])
        .collect();
    starts
        .windows(2)
        .map(|ends| &word[ends[0]..ends[1]])
        .collect()
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::json::{Failed, tests::record};
    use crate::cli::bench::measured::Measured;

    #[test]
    fn rows_stand_under_the_title_of_their_group_in_columns() {
        let table = draw(&record());
        let at = |words: &str| {
            table
                .lines()
                .position(|line| line.starts_with(words))
                .unwrap_or_else(|| panic!("{words}: {table}"))
        };
        let lines: Vec<&str> = table.lines().collect();
        let group = at("P1  warm, fits; against plain wgpu");
        let column = |name: &str| lines[group + 1].find(name).unwrap();
        let saxpy = lines[group + 2];
        assert!(saxpy.starts_with("  saxpy "), "{table}");
        for (name, cell) in [
            ("figure", "1.200x"),
            ("goal", "1.03"),
            ("ours ms", "12.00"),
            ("base ms", "10.00"),
        ] {
            let end = column(name) + name.len();
            assert!(saxpy[..end].ends_with(cell), "{name}: {table}");
        }
        assert_eq!(
            (
                &saxpy[column("met")..column("met") + 4],
                &saxpy[column("verified")..]
            ),
            ("over", "yes")
        );
        assert!(
            saxpy.contains(" 48 MiB ") && saxpy.contains(" 4.19 ") && saxpy.contains(" 5.03 "),
            "{table}"
        );
        assert!(
            lines[at("P9") + 2].contains("15.5 B/page") && lines[at("P9") + 2].ends_with("  NO"),
            "{table}"
        );
        assert!(
            at("[1] a remark") > at("P9") && !table.contains("[2]"),
            "{table}"
        );
        assert_eq!(
            table.lines().last(),
            Some("3 rows: 1 over their goal, 1 not verified; 61 s")
        );
    }

    #[test]
    fn lines_stay_within_a_hundred_and_twenty_columns() {
        let mut record = record();
        let measured = Measured::of(vec![vec![([12.345; 2], [11.999; 2])]]);
        for id in ["P5", "P13"] {
            record.rows.push(
                Row::timed(
                    id,
                    "an iterated stencil of five points at 1.25x, random policy, of a long name",
                    "b",
                    measured.clone(),
                )
                .goal(1.1)
                .bytes(1023 << 20)
                .verified(true)
                .note("a remark that goes on and on. ".repeat(20)),
            );
        }
        record
            .rows
            .push(Row::timed("P5", "another", "other baseline", measured));
        record.left_out.push(Failed {
            id: "P7".to_owned(),
            reason: "one core".to_owned(),
        });
        record.failed.push(Failed {
            id: "P6".to_owned(),
            reason: "no userfaultfd here, and that is why it does not work. ".repeat(5),
        });
        let table = draw(&record);
        for line in table.lines() {
            assert!(width(line) <= 124, "{} columns: {line}", width(line));
        }
        assert!(
            table.contains("against other baseline")
                && table.contains("P6 failed: no userfaultfd")
                && table.contains("P7: left out: one core"),
            "{table}"
        );
        assert!(
            table
                .lines()
                .last()
                .is_some_and(|line| line.ends_with("1 group failed")),
            "{table}"
        );
    }

    #[test]
    fn nothing_is_a_table_too_and_bad_builds_are_told() {
        let mut record = Record::default();
        assert!(draw(&record).ends_with("0 rows: 0 over their goal, 0 not verified; 0 s\n"));
        record.machine.debug_build = true;
        assert!(draw(&record).contains("--release"));
    }

    #[test]
    fn names_of_any_length_and_kind_are_drawn() {
        let mut record = record();
        record.rows[0].case = "x".repeat(100_000);
        record.rows[1].unit = "u".repeat(70_000).into();
        record.rows[2].case = "a\u{1b}[31mred".to_owned();
        let table = draw(&record);
        assert!(table.contains(&"x".repeat(WIDEST)) && !table.contains(&"x".repeat(WIDEST + 1)));
        assert!(!table.contains('\u{1b}'));
        assert_eq!(pieces("abcde ", 2), ["ab", "cd", "e "]);
        assert_eq!(pieces("abcde ", 5), ["abcde "]);
    }

    #[test]
    fn text_is_wrapped_at_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("immeasurable", 3), ["imm", "eas", "ura", "ble"]);
        assert_eq!(wrap("", 3), [""]);
        assert_eq!(wrap("a  b", 9), ["a  b"]);
    }
}
