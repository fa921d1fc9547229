//! Tables of text. Pure.

use super::text::{WIDTH, clean, clip};

/// Rows under a header. The last column gives way when a row is too wide; the others hold ids, which people copy.
pub(crate) struct Table<const N: usize> {
    header: [&'static str; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table without rows.
    pub(crate) fn new(header: [&'static str; N]) -> Self {
        Self { header, rows: Vec::new() }
    }

    /// Adds a row; its cells may hold any text.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| clean(&cell)));
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The header and the rows, as lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        let header = self.header.map(str::to_owned);
        let mut widths = [0; N];
        for cells in std::iter::once(&header).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = cell.chars().count().max(*width);
            }
        }
        std::iter::once(&header).chain(&self.rows).map(|cells| line(cells, &widths)).collect()
    }
}

fn line<const N: usize>(cells: &[String; N], widths: &[usize; N]) -> String {
    let mut line = String::new();
    let mut used = 0;
    for (column, (cell, &width)) in cells.iter().zip(widths).enumerate() {
        if column + 1 == N {
            line.push_str(&clip(cell, WIDTH.saturating_sub(used).max(LAST_WIDTH_MIN)));
        } else {
            line.push_str(&format!("{cell:<width$}  "));
            used += width + 2;
        }
    }
    line.trim_end().to_owned()
}

/// A last column narrower than this says nothing; the line may then be too wide instead.
const LAST_WIDTH_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(["ID", "NAME"]);
        assert!(table.is_empty());
        table.row(["long-id".into(), "a".into()]);
        table.row(["é".into(), String::new()]);
        assert_eq!(table.lines(), ["ID       NAME", "long-id  a", "é"]);
    }

    #[test]
    fn the_last_column_gives_way() {
        let mut table = Table::new(["ID", "TITLE"]);
        table.row(["i".repeat(50), "t".repeat(100)]);
        table.row(["i".repeat(50), "short".into()]);
        assert!(table.lines().iter().all(|line| line.chars().count() <= WIDTH));
        assert!(table.lines()[1].ends_with("t…"));
    }

    #[test]
    fn cells_cannot_break_the_table() {
        let mut table = Table::new(["A", "B"]);
        table.row(["one\ntwo".into(), "\x1b[2J".into()]);
        assert_eq!(table.lines()[1], "one two  [2J");
    }
}
