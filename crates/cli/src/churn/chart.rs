//! A trace as a picture: population over time, and below it who joins and leaves.

use std::time::Duration;

use plotters::coord::Shift;
use plotters::prelude::*;
use splay_protocol::churn::stats::population_steps;
use splay_protocol::churn::{Statistics, Trace};

/// Size of the picture in pixels, and how high the upper part is.
const SIZE: (u32, u32) = (960, 560);
const UPPER: u32 = 340;

const LINE: RGBColor = RGBColor(31, 97, 165);
const JOINS: RGBColor = RGBColor(46, 139, 87);
const LEAVES: RGBColor = RGBColor(200, 70, 50);
const TEXT: RGBColor = RGBColor(60, 60, 60);
const GRID: RGBColor = RGBColor(225, 225, 225);

/// Space beside the axes.
const LEFT: u32 = 64;
const BELOW: u32 = 44;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// An SVG of a trace.
pub fn chart(title: &str, trace: &Trace, stats: &Statistics) -> String {
    let mut svg = String::new();
    draw(&mut svg, title, trace, stats).expect("drawing into memory does not fail");
    svg
}

fn draw(svg: &mut String, title: &str, trace: &Trace, stats: &Statistics) -> Drawn {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (upper, lower) = root.split_vertically(UPPER);
    let unit = Unit::of(stats.until_seconds);
    // A trace that is over at once is still drawn over a second.
    let end = if stats.until_seconds > 0.0 { stats.until_seconds / unit.seconds } else { 1.0 };
    population(&upper, title, trace, stats, &unit, end)?;
    turnover(&lower, stats, &unit, end)?;
    root.present()?;
    Ok(())
}

/// In what time is told.
struct Unit {
    seconds: f64,
    name: &'static str,
}

impl Unit {
    fn of(whole: f64) -> Unit {
        let (seconds, name) = match whole {
            short if short <= 300.0 => (1.0, "seconds"),
            short if short <= 3.0 * 3600.0 => (60.0, "minutes"),
            short if short <= 3.0 * 86400.0 => (3600.0, "hours"),
            _ => (86400.0, "days"),
        };
        Unit { seconds, name }
    }
}

fn population(
    area: &Area<'_>,
    title: &str,
    trace: &Trace,
    stats: &Statistics,
    unit: &Unit,
    end: f64,
) -> Drawn {
    let top = f64::from(stats.population.max.max(1)) * 1.08;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20).into_font().color(&TEXT))
        .margin(10)
        .margin_right(24)
        .set_label_area_size(LabelAreaPosition::Left, LEFT)
        .set_label_area_size(LabelAreaPosition::Bottom, 24)
        .build_cartesian_2d(0.0..end, 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(TEXT)
        .label_style(("sans-serif", 15).into_font().color(&TEXT))
        .axis_desc_style(("sans-serif", 16).into_font().color(&TEXT))
        .y_desc("nodes there")
        .x_label_formatter(&|x| number(*x))
        .y_label_formatter(&|y| number(*y))
        .y_labels(whole_labels(top))
        .draw()?;
    let until = Duration::from_secs_f64(stats.until_seconds);
    let mut line: Vec<(f64, f64)> = Vec::new();
    let mut before = 0.0;
    for (at, up) in population_steps(trace.schedule().events()) {
        if at > until {
            break;
        }
        let (x, y) = (at.as_secs_f64() / unit.seconds, f64::from(up));
        if !line.is_empty() {
            line.push((x, before));
        }
        line.push((x, y));
        before = y;
    }
    line.push((end, before));
    chart.draw_series(AreaSeries::new(line, 0.0, LINE.mix(0.15)).border_style(LINE.stroke_width(2)))?;
    Ok(())
}

fn turnover(area: &Area<'_>, stats: &Statistics, unit: &Unit, end: f64) -> Drawn {
    let most = |count: fn(&splay_protocol::churn::stats::Interval) -> u64| {
        stats.intervals.iter().map(count).max().unwrap_or(0) as f64
    };
    let (joins, leaves) = (most(|row| row.joins), most(|row| row.leaves));
    let least = (joins + leaves).max(1.0) * 0.05;
    let (top, bottom) = ((joins * 1.1).max(least), (leaves * 1.1).max(least));
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .margin_top(28)
        .margin_right(24)
        .set_label_area_size(LabelAreaPosition::Left, LEFT)
        .set_label_area_size(LabelAreaPosition::Bottom, BELOW)
        .build_cartesian_2d(0.0..end, -bottom..top)?;
    let interval = stats.intervals.first().map_or(0.0, |row| row.to_seconds - row.from_seconds);
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(TEXT)
        .label_style(("sans-serif", 15).into_font().color(&TEXT))
        .axis_desc_style(("sans-serif", 16).into_font().color(&TEXT))
        .x_desc(unit.name)
        .y_desc(format!("per {} s", number(interval)))
        .x_label_formatter(&|x| number(*x))
        .y_label_formatter(&|y| number(y.abs()))
        .y_labels(whole_labels(top + bottom).min(6))
        .draw()?;
    for (count, colour, sign) in [
        ((|row| row.joins) as fn(&splay_protocol::churn::stats::Interval) -> u64, JOINS, 1.0),
        (|row| row.leaves, LEAVES, -1.0),
    ] {
        chart.draw_series(stats.intervals.iter().filter(|row| count(row) > 0).map(|row| {
            let (from, to) = (row.from_seconds / unit.seconds, row.to_seconds / unit.seconds);
            let gap = (to - from) * 0.1;
            let to = if to > from { to - gap } else { end };
            Rectangle::new([(from + gap, 0.0), (to, sign * count(row) as f64)], colour.filled())
        }))?;
    }
    chart.draw_series([PathElement::new([(0.0, 0.0), (end, 0.0)], TEXT)])?;
    let word = ("sans-serif", 16).into_font().color(&TEXT);
    for (name, colour, x) in [("joins", JOINS, 0), ("leaves", LEAVES, 70)] {
        let x = LEFT as i32 + 20 + x;
        area.draw(&Rectangle::new([(x, 8), (x + 11, 19)], colour.filled()))?;
        area.draw(&Text::new(name, (x + 16, 6), word.clone()))?;
    }
    Ok(())
}

/// So many labels that whole numbers do not come twice.
fn whole_labels(range: f64) -> usize {
    (range.floor() as usize + 1).clamp(2, 8)
}

fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        let trace = Trace::parse(text).unwrap();
        chart("a <b> & c", &trace, &Statistics::of(&trace, None, None))
    }

    #[test]
    fn holds_line_bars_and_words() {
        let svg = of("0 100 150 200\n50 120\n60\n");
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
        for part in [
            "a &lt;b&gt; &amp; c",
            "seconds",
            "joins",
            "leaves",
            "nodes there",
            "#1F61A5",
            "#2E8B57",
            "#C84632",
        ] {
            assert!(svg.contains(part), "{part}");
        }
        // A bar for each interval with joins or leaves, and the sign beside the word.
        let bars = svg.matches("fill=\"#2E8B57\"").count();
        assert_eq!(bars, 1 + 4, "{svg}");
    }

    #[test]
    fn traces_without_length_are_drawn() {
        assert!(of("0\n0\n").contains("</svg>"));
    }
}
