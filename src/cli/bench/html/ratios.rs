//! Figures against their goals: a mark for each row on one logarithmic scale, the goal beside it.

use super::svg::{self, Anchor, Axis, Shape};
use crate::cli::bench::row::Row;
use crate::cli::bench::show;

const WIDTH: f64 = 1090.0;
/// Where the scale begins and ends; cases are to the left of it, figures to the right.
const SCALE: [f64; 2] = [310.0, 760.0];
const ROW: f64 = 22.0;
const HEADING: f64 = 30.0;
/// Above the rows, for the scale.
const TOP: f64 = 26.0;
/// The most characters of a case that have room.
const ROOM: usize = 46;

/// One mark.
#[derive(Debug, Clone, PartialEq)]
struct Entry<'a> {
    row: &'a Row,
    value: f64,
    goal: Option<f64>,
}

/// The plot of ratios, then that of figures in other units as parts of their goals; empty where there is nothing to plot.
#[must_use]
pub fn plots(groups: &[(String, Vec<&Row>)]) -> String {
    let ratios = entries(groups, |row| {
        (row.unit == "x").then_some((row.figure, row.goal))
    });
    let parts = entries(groups, |row| {
        let goal = row
            .goal
            .filter(|&goal| row.unit != "x" && svg::fits(goal))?;
        Some((row.figure / goal, Some(1.0)))
    });
    let mut text = plot(
        "ratios",
        "Ratios against their goals",
        "ours over the baseline; less is better",
        &ratios,
    );
    text.push_str(&plot(
        "parts",
        "Figures in other units, as parts of their goals",
        "the figure over its goal; less is better",
        &parts,
    ));
    text
}

type Entries<'a> = Vec<(&'a str, Vec<Entry<'a>>)>;

fn entries<'a>(
    groups: &'a [(String, Vec<&'a Row>)],
    value: impl Fn(&Row) -> Option<(f64, Option<f64>)>,
) -> Entries<'a> {
    groups
        .iter()
        .map(|(heading, rows)| {
            let entries = rows.iter().filter_map(|row| {
                let (figure, goal) = value(row)?;
                Some(Entry {
                    row,
                    value: figure,
                    goal,
                })
            });
            (heading.as_str(), entries.collect::<Vec<_>>())
        })
        .filter(|(_, entries)| !entries.is_empty())
        .collect()
}

fn plot(id: &str, title: &str, scale: &str, groups: &Entries<'_>) -> String {
    let all = || groups.iter().flat_map(|(_, entries)| entries);
    let values = all()
        .flat_map(|entry| [Some(entry.value), entry.goal])
        .flatten()
        .chain([1.0]);
    // The 1 is on every scale: without any row there is still nothing to plot.
    let Some(axis) = Axis::over(values, SCALE[0], SCALE[1]).filter(|_| all().next().is_some())
    else {
        return String::new();
    };
    let rows = all().count() as f64;
    let bottom = TOP + rows * ROW + groups.len() as f64 * HEADING;
    let mut body = String::new();
    for tick in axis.ticks(11) {
        let x = axis.at(tick);
        body += &svg::line("grid", [x, TOP], [x, bottom]);
        for y in [TOP - 8.0, bottom + 16.0] {
            body += &svg::text("tick", Anchor::Middle, [x, y], &show::short(tick));
        }
    }
    body += &svg::line("one", [axis.at(1.0), TOP], [axis.at(1.0), bottom]);
    body += &svg::text(
        "scale",
        Anchor::Middle,
        [(SCALE[0] + SCALE[1]) / 2.0, bottom + 34.0],
        scale,
    );
    let mut y = TOP;
    for (heading, entries) in groups {
        y += HEADING;
        body += &svg::text("group", Anchor::Start, [8.0, y - 8.0], heading);
        for entry in entries {
            y += ROW;
            body += &draw(entry, &axis, y - ROW / 2.0);
        }
    }
    let over = all()
        .filter(|entry| entry.row.meets() == Some(false))
        .count();
    let description = format!(
        "{rows} rows on a logarithmic scale, {over} of them over their goal. The table below has all figures."
    );
    let picture = svg::picture(id, [WIDTH, bottom + 44.0], title, &description, &body);
    format!(
        "<figure>\n<figcaption>{}</figcaption>\n{picture}</figure>\n",
        svg::escape(title)
    )
}

/// One row around a height.
fn draw(entry: &Entry<'_>, axis: &Axis, y: f64) -> String {
    let row = entry.row;
    let (shape, class) = match row.meets() {
        Some(true) => (Shape::Circle, "met"),
        Some(false) => (Shape::Diamond, "over"),
        None => (Shape::Circle, "free"),
    };
    let mut words = show::figure(row);
    if let Some(goal) = row.goal {
        words.push_str(&format!(
            ", goal {}",
            show::unit(&show::short(goal), &row.unit)
        ));
    }
    if row.meets() == Some(false) {
        words.push_str(", over");
    }
    if !row.verified {
        words.push_str(", NOT VERIFIED");
    }
    let mut body = svg::line("rule", [8.0, y + ROW / 2.0], [WIDTH - 8.0, y + ROW / 2.0]);
    body += &svg::text(
        "case",
        Anchor::End,
        [SCALE[0] - 12.0, y + 4.0],
        &cut(&row.case),
    );
    if let Some(goal) = entry.goal.filter(|&goal| svg::fits(goal)) {
        let x = axis.at(goal);
        if svg::fits(entry.value) {
            body += &svg::line(&format!("way {class}"), [x, y], [axis.at(entry.value), y]);
        }
        body += &svg::line("goal", [x, y - 8.0], [x, y + 8.0]);
    }
    if svg::fits(entry.value) {
        body += &svg::mark(
            shape,
            class,
            [axis.at(entry.value), y],
            &format!("{} {}: {words}", row.id, row.case),
        );
    }
    body + &svg::text(
        &format!("figure {class}"),
        Anchor::Start,
        [SCALE[1] + 12.0, y + 4.0],
        &words,
    )
}

/// As much of a case as has room.
fn cut(case: &str) -> String {
    if case.chars().count() <= ROOM {
        return case.to_owned();
    }
    let start: String = case.chars().take(ROOM - 3).collect();
    format!("{}...", start.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::json::tests::record;

    fn plotted(rows: &[Row]) -> String {
        plots(&[("a group".to_owned(), rows.iter().collect())])
    }

    #[test]
    fn without_rows_there_is_no_plot() {
        assert_eq!(plots(&[]), "");
        assert_eq!(plotted(&[]), "");
    }

    #[test]
    fn rows_over_their_goal_differ_in_shape_and_words() {
        let record = record();
        let text = plotted(&record.rows);
        assert_eq!(text.matches("<svg").count(), 2, "{text}");
        assert_eq!(text.matches("<polygon class=\"over\"").count(), 1, "{text}");
        assert!(
            text.contains("1.200x, goal 1.03x, over<") && text.contains("1.200x, goal 1.5x<"),
            "{text}"
        );
        assert!(
            text.contains("15.5 B/page, goal 16 B/page, NOT VERIFIED"),
            "{text}"
        );
        assert_eq!(text.matches("class=\"goal\"").count(), 3);
    }

    #[test]
    fn a_row_without_goal_is_a_ring_and_one_without_number_only_words() {
        let mut row = record().rows.remove(0);
        row.goal = None;
        assert!(plotted(&[row.clone()]).contains("<circle class=\"free\""));
        row.figure = f64::NAN;
        let text = plotted(&[row]);
        assert!(
            !text.contains("<circle") && text.contains(">none"),
            "{text}"
        );
        assert!(!text.contains("NaN"), "{text}");
    }

    #[test]
    fn long_cases_are_cut() {
        assert_eq!(cut("short"), "short");
        let long = cut(&"word ".repeat(30));
        assert!(
            long.ends_with("...") && long.chars().count() <= ROOM,
            "{long}"
        );
    }
}
