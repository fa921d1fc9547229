//! The table as a file, and as a picture: each ratio against its goal.

use std::path::Path;

use countersign_tests::build::root;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::table::{Row, Table};

const WIDTH: u32 = 900;
const ROW: u32 = 26;
const HEAD: i32 = 64;
const LABEL: i32 = 380;

/// How many times its goal, or how small a part of it, the picture reaches.
const REACH: f64 = 16.0;

/// Writes `results.json` and `performance.svg` below `target/bench`.
pub(crate) fn write(table: &Table) {
    let folder = root().join("target/bench");
    std::fs::create_dir_all(&folder).expect("a folder");
    let json = serde_json::to_string_pretty(table.rows()).expect("rows have a JSON form");
    std::fs::write(folder.join("results.json"), json).expect("a file");
    let picture = folder.join("performance.svg");
    draw(&picture, table.rows()).expect("a picture");
    println!("\nwritten: {} and {}", folder.join("results.json").display(), picture.display());
}

/// A bar for each row with a goal, on a logarithmic scale on which 1 is the goal: to the right is better.
fn draw(path: &Path, rows: &[Row]) -> Result<(), Box<dyn std::error::Error>> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.of_goal.is_some()).collect();
    let height = HEAD as u32 + ROW * rows.len() as u32 + 20;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
    area.draw_text("Measured against its goal: to the right of the line it is met", &text(17), (12, 12))?;
    let middle = LABEL + (WIDTH as i32 - LABEL - 130) / 2;
    let reach = f64::from(WIDTH as i32 - LABEL - 130) / 2.0;
    let x = |times: f64| middle + (times.clamp(1.0 / REACH, REACH).ln() / REACH.ln() * reach) as i32;
    for times in [0.1, 1.0, 10.0] {
        let (at, bottom) = (x(times), height as i32 - 16);
        let colour = if times == 1.0 { BLACK } else { RGBColor(200, 200, 200) };
        area.draw(&PathElement::new(vec![(at, HEAD - 6), (at, bottom)], colour))?;
        let label = text(12).pos(Pos::new(HPos::Center, VPos::Bottom));
        area.draw_text(&format!("{times} ×"), &label, (at, HEAD - 8))?;
    }
    for (place, row) in (0..).zip(rows) {
        let (top, times) = (HEAD + place * ROW as i32, row.of_goal.unwrap_or(1.0));
        let (from, to) = (x(1.0).min(x(times)), x(1.0).max(x(times)));
        let colour = if times >= 1.0 { RGBColor(46, 125, 50) } else { RGBColor(198, 40, 40) };
        area.draw(&Rectangle::new([(from, top + 4), (to.max(from + 2), top + ROW as i32 - 4)], colour.filled()))?;
        area.draw_text(&row.what, &text(13), (12, top + 6))?;
        let value = match row.ratio {
            Some(ratio) => format!("{ratio:.2} × bare"),
            None => format!("{:.2} {}", row.countersign, row.unit),
        };
        area.draw_text(&value, &text(12), (WIDTH as i32 - 122, top + 6))?;
    }
    area.present()?;
    Ok(())
}
