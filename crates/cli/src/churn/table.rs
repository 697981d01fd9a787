//! Statistics of a trace as a table for people.

use std::fmt::Write;

use splay_protocol::churn::Statistics;
use splay_protocol::churn::stats::Distribution;

/// The bar of the busiest interval.
const BAR: usize = 30;

/// A few lines of figures and a row for each interval.
pub fn table(stats: &Statistics) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<13} {value}");
    };
    let population = &stats.population;
    field("nodes", stats.nodes.to_string());
    field("until", format!("{} s", figure(stats.until_seconds)));
    field(
        "population",
        format!(
            "{} to {}, mean {}, at the end {}",
            population.min,
            population.max,
            figure(population.mean),
            population.end
        ),
    );
    let graceful = if stats.graceful > 0 { format!(" ({} graceful)", stats.graceful) } else { String::new() };
    field("events", format!("{} joins, {} leaves{graceful}", stats.joins, stats.leaves));
    let open = match stats.open_sessions {
        0 => String::new(),
        open => format!("; {open} last beyond the end"),
    };
    field("sessions", format!("{}{open}", spread(stats.sessions.as_ref(), " s", 1.0)));
    field("downtimes", spread(stats.downtimes.as_ref(), " s", 1.0));
    field("availability", spread(stats.availability.as_ref(), " %", 100.0));
    let most = population.max.max(1) as f64;
    let _ = writeln!(
        text,
        "\n{:>10} {:>10} {:>7} {:>7} {:>10}  population",
        "from s", "to s", "joins", "leaves", "mean"
    );
    for row in &stats.intervals {
        let bar = "#".repeat((row.mean_population / most * BAR as f64).round() as usize);
        let _ = writeln!(
            text,
            "{:>10} {:>10} {:>7} {:>7} {:>10.1}  {bar}",
            figure(row.from_seconds),
            figure(row.to_seconds),
            row.joins,
            row.leaves,
            row.mean_population,
        );
    }
    text
}

fn spread(spread: Option<&Distribution>, unit: &str, factor: f64) -> String {
    let Some(spread) = spread else { return "none".to_owned() };
    let of = |value: f64| format!("{}{unit}", figure(value * factor));
    let (min, p50, p90, max, mean) =
        (of(spread.min), of(spread.p50), of(spread.p90), of(spread.max), of(spread.mean));
    format!("{}: min {min}, median {p50}, mean {mean}, p90 {p90}, max {max}", spread.count)
}

/// A figure to three decimals, no zeros at the end.
fn figure(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use splay_protocol::churn::Trace;

    use super::*;

    #[test]
    fn reads_well() {
        let trace = Trace::parse("0 10 15 20g\n5\n").unwrap();
        let text = table(&Statistics::of(&trace, None, Some(std::time::Duration::from_secs(10))));
        let expected = "\
nodes         2
until         20 s
population    1 to 2, mean 1.5, at the end 1
events        3 joins, 2 leaves (1 graceful)
sessions      2: min 5 s, median 5 s, mean 7.5 s, p90 10 s, max 10 s; 1 last beyond the end
downtimes     1: min 5 s, median 5 s, mean 5 s, p90 5 s, max 5 s
availability  2: min 75 %, median 75 %, mean 87.5 %, p90 100 %, max 100 %

    from s       to s   joins  leaves       mean  population
         0         10       2       0        1.5  #######################
        10         20       1       2        1.5  #######################
";
        assert_eq!(text, expected);
    }
}
