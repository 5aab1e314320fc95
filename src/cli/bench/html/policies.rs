//! The policy matrix: bytes moved against Belady's optimum, a row for each workload and factor, a column for each policy.

use super::case::at_factor;
use super::svg::escape;
use crate::cli::bench::row::Row;
use crate::cli::bench::show;

/// The group whose rows are its cells.
const ID: &str = "P5";
/// Up to which ratio a cell has which shade; beyond the last it has the darkest.
const SHADES: [f64; 5] = [1.02, 1.1, 1.25, 1.5, 2.0];

/// The matrix.
#[derive(Debug, Default, PartialEq)]
struct Matrix<'a> {
    policies: Vec<&'a str>,
    /// Workload, factor, and a cell for each policy.
    rows: Vec<(&'a str, f64, Vec<Option<&'a Row>>)>,
}

/// Whether a row is a cell of the matrix.
#[must_use]
pub fn has(row: &Row) -> bool {
    row.id == ID && at_factor(&row.case).is_some_and(|parts| !parts.rest.is_empty())
}

/// The matrix as a table; empty without rows for it.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let matrix = gather(rows);
    if matrix.rows.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "<div class=\"wide\"><table class=\"matrix\">\n<thead><tr><th scope=\"col\">workload</th><th scope=\"col\">data over device memory</th>",
    );
    for policy in &matrix.policies {
        text += &format!("<th scope=\"col\">{}</th>", escape(policy));
    }
    text += "</tr></thead>\n<tbody>\n";
    for (workload, factor, cells) in &matrix.rows {
        text += &format!(
            "<tr><th scope=\"row\">{}</th><td>{}x</td>",
            escape(workload),
            show::short(*factor)
        );
        for column in 0..matrix.policies.len() {
            text += &cell(cells.get(column).copied().flatten());
        }
        text += "</tr>\n";
    }
    text + "</tbody></table></div>\n"
}

fn gather(rows: &[Row]) -> Matrix<'_> {
    let mut matrix = Matrix::default();
    for row in rows.iter().filter(|row| has(row)) {
        let Some(parts) = at_factor(&row.case) else {
            continue;
        };
        let column = position(
            &mut matrix.policies,
            |policy| *policy == parts.rest,
            || parts.rest,
        );
        let same = |other: &(&str, f64, Vec<Option<&Row>>)| {
            other.0 == parts.what && other.1 == parts.factor
        };
        let line = position(&mut matrix.rows, same, || {
            (parts.what, parts.factor, Vec::new())
        });
        let cells = &mut matrix.rows[line].2;
        cells.resize(cells.len().max(column + 1), None);
        cells[column] = Some(row);
    }
    matrix
}

/// Where the first such element is; it is added where there is none.
fn position<T>(list: &mut Vec<T>, such: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> usize {
    list.iter().position(such).unwrap_or_else(|| {
        list.push(new());
        list.len() - 1
    })
}

fn cell(row: Option<&Row>) -> String {
    let Some(row) = row else {
        return "<td>-</td>".to_owned();
    };
    let mut words = show::unit(&show::number(row.ratio), "x");
    if row.meets() == Some(false) {
        words += " over";
    }
    if !row.verified {
        words += " NOT VERIFIED";
    }
    format!("<td class=\"shade{}\">{words}</td>", shade(row.ratio))
}

fn shade(ratio: f64) -> usize {
    if ratio.is_nan() {
        return 0;
    }
    SHADES.iter().take_while(|&&most| ratio > most).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(case: &str, ratio: f64) -> Row {
        Row::counted("P5", case, "Belady", ratio, 1.0)
            .goal(1.1)
            .verified(true)
    }

    #[test]
    fn cells_are_where_workload_factor_and_policy_meet() {
        let rows = [
            row("heat at 1.25x, lru", 1.05),
            row("heat at 1.25x, clock", 1.2),
            row("heat at 4x, clock", 3.0),
            row("<b> at 4x, random", 1.0).verified(false),
            row("nothing of the kind", 1.0),
        ];
        let matrix = gather(&rows);
        assert_eq!(matrix.policies, ["lru", "clock", "random"]);
        assert_eq!(matrix.rows.len(), 3);
        let text = table(&rows);
        assert!(text.contains("<th scope=\"row\">heat</th><td>1.25x</td><td class=\"shade1\">1.050x</td><td class=\"shade2\">1.200x over</td><td>-</td>"), "{text}");
        assert!(
            text.contains("<td>4x</td><td>-</td><td class=\"shade5\">3.000x over</td><td>-</td>"),
            "{text}"
        );
        assert!(
            text.contains("&lt;b&gt;") && text.contains("1.000x NOT VERIFIED"),
            "{text}"
        );
        assert!(has(&rows[0]) && !has(&rows[4]) && !has(&row("heat at 4x", 1.0)));
    }

    #[test]
    fn without_such_rows_there_is_no_matrix() {
        assert_eq!(table(&[]), "");
        assert_eq!(table(&[row("heat", 1.0)]), "");
    }

    #[test]
    fn more_is_darker() {
        let shades: Vec<usize> = [0.9, 1.05, 1.2, 1.4, 1.9, 7.0].map(shade).to_vec();
        assert_eq!(shades, [0, 1, 2, 3, 4, 5]);
        assert_eq!((shade(f64::NAN), shade(f64::INFINITY)), (0, 5));
    }
}
