//! Topologies made from a few numbers and a seed: `star:n=50,latency=20ms`. The same text and seed
//! give the same topology on every machine.

mod shapes;

use std::str::FromStr;
use std::time::Duration;

use super::quantity::{rate, share, time};
use super::{Graph, TopologyError};

pub use shapes::{REGIONS, region_rtt_ms};

/// Most vertices a generator makes.
const MOST_VERTICES: u64 = 10_000_000;

/// What kind of topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Every place hangs on one router.
    Star,
    /// Half of the places on each of two routers with one narrow link between them.
    Dumbbell,
    /// Domains of transit routers, to each of which stub domains are attached, whose routers have
    /// the places.
    TransitStub,
    /// Routers that were joined one after the other, preferably to those with many links
    /// (Barabási and Albert); one place on each.
    ScaleFree,
    /// Places dealt out to regions of the world, whose distances are [`region_rtt_ms`].
    Regions,
}

impl Shape {
    const ALL: [(&'static str, Shape); 5] = [
        ("star", Shape::Star),
        ("dumbbell", Shape::Dumbbell),
        ("transit-stub", Shape::TransitStub),
        ("scale-free", Shape::ScaleFree),
        ("regions", Shape::Regions),
    ];

    /// Keys it takes besides `n`, `latency`, `bandwidth`, `loss` and `queue`.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Shape::Star => &[],
            Shape::Dumbbell => &["bottleneck", "bottleneck-latency", "bottleneck-queue"],
            Shape::TransitStub => &["transits", "transit-size", "stubs", "stub-size"],
            Shape::ScaleFree => &["m"],
            Shape::Regions => &["regions"],
        }
    }
}

/// What links are like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// One-way delay.
    pub latency: Duration,
    /// Bits per second; `None`: not limited.
    pub bandwidth_bps: Option<u64>,
    /// Probability that a packet is lost.
    pub loss: f64,
    /// Packets that may wait.
    pub queue_packets: Option<u32>,
}

/// A topology to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Generator {
    /// What kind.
    pub shape: Shape,
    /// How many places; `None`: as many as there are instances.
    pub places: Option<u32>,
    /// Links between a place and its router.
    pub access: Link,
    /// Dumbbell: the link in the middle.
    pub bottleneck: Link,
    /// Transit-stub: domains of transit routers.
    pub transits: u32,
    /// Transit-stub: routers of a transit domain.
    pub transit_size: u32,
    /// Transit-stub: stub domains on every transit router.
    pub stubs: u32,
    /// Transit-stub: routers of a stub domain.
    pub stub_size: u32,
    /// Scale-free: links that each router brings.
    pub links_each: u32,
    /// Regions: how many of [`REGIONS`], from the first on.
    pub regions: u32,
}

impl Generator {
    /// Whether a text names a generator rather than a file.
    pub fn is_named(text: &str) -> bool {
        let name = text.split(':').next().unwrap_or("");
        Shape::ALL.iter().any(|(known, _)| *known == name)
    }

    fn of(shape: Shape) -> Generator {
        let milliseconds = |ms| Link {
            latency: Duration::from_micros(ms),
            bandwidth_bps: None,
            loss: 0.0,
            queue_packets: None,
        };
        let access = match shape {
            Shape::Star => milliseconds(10_000),
            Shape::Dumbbell => milliseconds(1_000),
            Shape::TransitStub | Shape::ScaleFree => milliseconds(1_000),
            Shape::Regions => milliseconds(250),
        };
        let bottleneck = Link { bandwidth_bps: Some(10_000_000), ..milliseconds(20_000) };
        Generator {
            shape,
            places: None,
            access,
            bottleneck,
            transits: 2,
            transit_size: 4,
            stubs: 3,
            stub_size: 4,
            links_each: 2,
            regions: REGIONS.len() as u32,
        }
    }

    /// Makes it, with `places` places unless it says how many itself.
    pub fn generate(&self, places: u32, seed: u64) -> Result<Graph, TopologyError> {
        let places = self.places.unwrap_or(places);
        let wrong = |field: &str, problem: &str| Err(TopologyError::new(None, field, problem));
        if places == 0 {
            return wrong("n", "must be at least 1");
        }
        let routers = match self.shape {
            Shape::TransitStub => {
                let parts = [self.transits, self.transit_size, 1 + self.stubs.saturating_mul(self.stub_size)];
                parts.iter().map(|&part| u64::from(part)).fold(1, u64::saturating_mul)
            }
            Shape::ScaleFree => u64::from(places),
            _ => u64::from(self.regions),
        };
        if routers + u64::from(places) > MOST_VERTICES {
            return wrong("n", &format!("more than {MOST_VERTICES} vertices would be made"));
        }
        shapes::make(self, places, seed)
    }
}

impl FromStr for Generator {
    type Err = TopologyError;

    /// Reads `SHAPE` or `SHAPE:KEY=VALUE,KEY=VALUE`.
    fn from_str(text: &str) -> Result<Generator, TopologyError> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let shape = Shape::ALL.iter().find(|(known, _)| *known == name).ok_or_else(|| {
            let known: Vec<&str> = Shape::ALL.iter().map(|(known, _)| *known).collect();
            TopologyError::new(
                None,
                format!("topology `{name}`"),
                format!("is not one of {}", known.join(", ")),
            )
        })?;
        let mut made = Generator::of(shape.1);
        for setting in rest.split(',').map(str::trim).filter(|setting| !setting.is_empty()) {
            let (key, value) = setting.split_once('=').ok_or_else(|| {
                TopologyError::new(None, format!("{name}: `{setting}`"), "is not of the form KEY=VALUE")
            })?;
            let (key, value) = (key.trim(), value.trim());
            let wrong = |problem: String| TopologyError::new(None, format!("{name}: {key}"), problem);
            let common = ["n", "latency", "bandwidth", "loss", "queue"];
            if !common.contains(&key) && !shape.1.keys().contains(&key) {
                let known: Vec<&str> = common.iter().chain(shape.1.keys()).copied().collect();
                return Err(wrong(format!("is not one of {}", known.join(", "))));
            }
            let count = || match value.parse::<u32>() {
                Ok(0) | Err(_) => Err(wrong(format!("`{value}` is not a number from 1 on"))),
                Ok(count) => Ok(count),
            };
            match key {
                "n" => made.places = Some(count()?),
                "latency" => made.access.latency = time(value).map_err(wrong)?,
                "bandwidth" => made.access.bandwidth_bps = Some(rate(value).map_err(wrong)?),
                "loss" => made.access.loss = share(value).map_err(wrong)?,
                "queue" => made.access.queue_packets = Some(count()?),
                "bottleneck" => made.bottleneck.bandwidth_bps = Some(rate(value).map_err(wrong)?),
                "bottleneck-latency" => made.bottleneck.latency = time(value).map_err(wrong)?,
                "bottleneck-queue" => made.bottleneck.queue_packets = Some(count()?),
                "transits" => made.transits = count()?,
                "transit-size" => made.transit_size = count()?,
                "stubs" => made.stubs = count()?,
                "stub-size" => made.stub_size = count()?,
                "m" => made.links_each = count()?,
                "regions" => {
                    made.regions = count()?;
                    if made.regions as usize > REGIONS.len() {
                        return Err(wrong(format!("there are only {}", REGIONS.len())));
                    }
                }
                _ => unreachable!("only known keys come here"),
            }
        }
        Ok(made)
    }
}
