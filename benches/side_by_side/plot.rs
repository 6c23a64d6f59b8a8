//! Bars, as an SVG: a group for each part, each group with a scale of its own. A bar is as long as
//! its ratio to the first of its group, which repeats better than times do.

use std::fmt::Write;
use std::path::Path;

/// The bars of one part. The first is what the others are compared with.
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) bars: Vec<Bar>,
}

pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) length: f64,
    /// What is written behind it.
    pub(crate) label: String,
}

const WIDTH: f64 = 860.0;
const MARGIN: f64 = 24.0;
/// The names stand left of the bars, the labels right of them.
const NAMES: f64 = 190.0;
const LABELS: f64 = 170.0;
const TITLE: f64 = 30.0;
const BAR: f64 = 22.0;
const GAP: f64 = 16.0;

/// Writes the file.
pub(crate) fn write(file: &Path, heading: &str, groups: &[Group]) {
    std::fs::write(file, draw(heading, groups)).expect("the plot's file can be written");
    println!("drawn: {}", file.display());
}

fn draw(heading: &str, groups: &[Group]) -> String {
    let group_height = |group: &Group| TITLE + BAR * group.bars.len() as f64 + GAP;
    let height = MARGIN * 2.0 + TITLE + groups.iter().map(group_height).sum::<f64>();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"system-ui, 'DejaVu Sans', sans-serif\" font-size=\"13\">\n<title>{0}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{MARGIN}\" y=\"{1}\" font-size=\"15\" font-weight=\"600\" fill=\"#1c2330\">{0}</text>\n",
        escaped(heading),
        MARGIN + 12.0
    );
    let mut y = MARGIN + TITLE;
    for group in groups.iter().filter(|group| !group.bars.is_empty()) {
        draw_group(&mut svg, y, group).expect("text can be written");
        y += group_height(group);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_group(svg: &mut String, top: f64, group: &Group) -> std::fmt::Result {
    let longest = group.bars.iter().map(|bar| bar.length).fold(0.0, f64::max);
    let room = WIDTH - 2.0 * MARGIN - NAMES - LABELS;
    writeln!(
        svg,
        "<text x=\"{MARGIN}\" y=\"{}\" font-weight=\"600\" fill=\"#1c2330\">{}</text>",
        top + 16.0,
        escaped(&group.title)
    )?;
    for (index, bar) in group.bars.iter().enumerate() {
        let y = top + TITLE - 6.0 + BAR * index as f64;
        let left = MARGIN + NAMES;
        let length = (room * bar.length / longest).max(1.0);
        let fill = if bar.name.starts_with("Nearside") { "#2f6fde" } else { "#b9c2d0" };
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#3b4558\">{}</text>\n\
             <rect x=\"{left}\" y=\"{}\" width=\"{length:.1}\" height=\"{}\" rx=\"2\" fill=\"{fill}\"/>\n\
             <text x=\"{:.1}\" y=\"{}\" fill=\"#3b4558\">{}</text>",
            left - 8.0,
            y + 15.0,
            escaped(&bar.name),
            y + 3.0,
            BAR - 6.0,
            left + length + 6.0,
            y + 15.0,
            escaped(&bar.label)
        )?;
    }
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
