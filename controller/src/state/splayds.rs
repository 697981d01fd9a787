//! What the controller knows of one splayd, and whether it fits what a job asks for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use splay_protocol::api::SplaydState;
use splay_protocol::session::{SplaydInfo, Status};
use splay_protocol::submission::{Filters, Near};

use super::Micros;

/// What is kept of a splayd in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplaydRecord {
    /// Identifier.
    pub id: String,
    /// Its public key, hexadecimal.
    pub key: String,
    /// What it said of itself.
    pub info: SplaydInfo,
    /// Labels set by an administrator.
    pub labels: BTreeMap<String, String>,
    /// Address its session came from.
    pub peer: String,
    /// When it enrolled.
    pub enrolled_us: Micros,
    /// Not let in any more.
    pub revoked: bool,
    /// Which process of it was heard last.
    pub incarnation: String,
    /// When its state last changed.
    pub since_us: Micros,
}

/// A splayd.
#[derive(Debug, Clone)]
pub struct Splayd {
    /// What is kept.
    pub record: SplaydRecord,
    /// Whether it is there.
    pub state: SplaydState,
    /// Number of the last report whose effects are stored.
    pub sequence: u64,
    /// What it last said of its machine, and when.
    pub status: Option<(Micros, Status)>,
    /// Seats in use.
    pub used: u32,
}

impl Splayd {
    /// One that is not there.
    pub fn new(record: SplaydRecord, sequence: u64) -> Splayd {
        let state = if record.revoked { SplaydState::Revoked } else { SplaydState::Offline };
        Splayd { record, state, sequence, status: None, used: 0 }
    }

    /// Address of its instances.
    pub fn address(&self) -> &str {
        if self.record.info.address.is_empty() { &self.record.peer } else { &self.record.info.address }
    }

    /// Its labels, those set here over its own.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.record.info.labels.clone();
        labels.extend(self.record.labels.clone());
        labels
    }

    /// Whether a user's word means this splayd.
    pub fn is_called(&self, word: &str) -> bool {
        self.record.id == word || self.record.info.name == word
    }

    /// Seats that are free.
    pub fn free(&self) -> u32 {
        self.record.info.max_instances.saturating_sub(self.used)
    }

    /// The first filter it does not pass, in words that follow a number of splayds.
    pub fn fails(&self, filters: &Filters) -> Option<String> {
        let info = &self.record.info;
        let status = self.status.as_ref().map(|(_, status)| status);
        if let Some(version) = filters.splayd_version.as_ref().filter(|version| **version != info.version) {
            return Some(format!("are not of version {version}"));
        }
        let labels = self.labels();
        let lacks = |wanted: &&String| match wanted.split_once('=') {
            Some((name, value)) => labels.get(name).is_none_or(|own| own != value),
            None => !labels.contains_key(*wanted),
        };
        if let Some(label) = filters.labels.iter().find(lacks) {
            return Some(format!("lack the label {label}"));
        }
        let named = |mask: &String| matches(mask, self.address()) || matches(mask, &info.name);
        if !filters.hosts.is_empty() && !filters.hosts.iter().any(named) {
            return Some(format!("are not at {}", filters.hosts.join(" or ")));
        }
        if !filters.countries.is_empty() && !filters.countries.iter().any(|place| is_in(&info.country, place))
        {
            return Some(format!("are not in {}", filters.countries.join(" or ")));
        }
        if let Some(near) = &filters.near
            && info.place.is_none_or(|place| kilometres(place, near) > near.distance)
        {
            let Near { latitude, longitude, distance } = near;
            return Some(format!("are not known to be within {distance} km of {latitude} {longitude}"));
        }
        // What changes from minute to minute: a splayd that has not told yet passes none of it.
        let under = |least: u64, has: fn(&Status) -> u64| status.is_none_or(|status| has(status) < least);
        if let Some(least) = filters.min_free_memory_bytes
            && under(least, |status| status.free_memory_bytes)
        {
            return Some(format!("have under {} free", bytes(least)));
        }
        if let Some(most) = filters.max_load
            && status.is_none_or(|status| status.load_milli.1 as f64 / 1000.0 > most)
        {
            return Some(format!("have a load above {most}"));
        }
        if let Some(least) = filters.min_uptime
            && status.is_none_or(|status| (status.uptime_seconds as f64) < least)
        {
            return Some(format!("have been up for under {least} s"));
        }
        None
    }
}

fn bytes(amount: u64) -> String {
    match amount {
        amount if amount >= 1 << 30 && amount.is_multiple_of(1 << 30) => format!("{} GB", amount >> 30),
        amount if amount >= 1 << 20 => format!("{} MB", amount >> 20),
        amount => format!("{amount} bytes"),
    }
}

/// Whether a text fits a mask, in which `*` stands for anything. Letters' case does not count.
pub fn matches(mask: &str, text: &str) -> bool {
    let (mask, text) = (mask.to_lowercase(), text.to_lowercase());
    let mut parts = mask.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Distance of a place in millionths of a degree from the middle of a circle, on a sphere.
fn kilometres(place: (i64, i64), near: &Near) -> f64 {
    let radians = |degrees: f64| degrees.to_radians();
    let (latitude, longitude) = (radians(place.0 as f64 / 1e6), radians(place.1 as f64 / 1e6));
    let (north, east) = (radians(near.latitude), radians(near.longitude));
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let a = half(latitude - north) + latitude.cos() * north.cos() * half(longitude - east);
    /// Mean radius of the earth.
    const RADIUS: f64 = 6371.0;
    2.0 * RADIUS * a.sqrt().min(1.0).asin()
}

/// Whether a country's two-letter code is, or lies on, a place.
fn is_in(country: &str, place: &str) -> bool {
    let countries = match place.to_lowercase().as_str() {
        "africa" => AFRICA,
        "antarctica" => "aq bv gs hm tf",
        "asia" => ASIA,
        "europe" => EUROPE,
        "north america" | "north_america" | "north-america" => NORTH_AMERICA,
        "oceania" => OCEANIA,
        "south america" | "south_america" | "south-america" => "ar bo br cl co ec fk gf gy pe py sr uy ve",
        code => return country.eq_ignore_ascii_case(code),
    };
    countries.split(' ').any(|code| country.eq_ignore_ascii_case(code))
}

// Continents by the United Nations' division (M49), transcontinental states where most people are.
const AFRICA: &str = "ao bf bi bj bw cd cf cg ci cm cv dj dz eg eh er et ga gh gm gn gq gw io ke km lr ls ly ma mg ml mr \
     mu mw mz na ne ng re rw sc sd sh sl sn so ss st sz td tg tn tz ug yt za zm zw";
const ASIA: &str = "ae af am az bd bh bn bt cn cy ge hk id il in iq ir jo jp kg kh kp kr kw kz la lb lk mm mn mo mv my \
     np om ph pk ps qa sa sg sy th tj tl tm tr tw uz vn ye";
const EUROPE: &str = "ad al at ax ba be bg by ch cz de dk ee es fi fo fr gb gg gi gr hr hu ie im is it je li lt lu lv \
     mc md me mk mt nl no pl pt ro rs ru se si sj sk sm ua va xk";
const NORTH_AMERICA: &str = "ag ai aw bb bl bm bq bs bz ca cr cu cw dm do gd gl gp gt hn ht jm kn ky lc mf mq ms mx ni pa pm \
     pr sv sx tc tt us vc vg vi";
const OCEANIA: &str = "as au cc ck cx fj fm gu ki mh mp nc nf nr nu nz pf pg pn pw sb tk to tv um vu wf ws";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        for (mask, text, fits) in [
            ("*", "", true),
            ("10.0.*", "10.0.3.4", true),
            ("10.0.*", "10.1.3.4", false),
            ("*.ch", "node.unine.CH", true),
            ("a*b*c", "a-bb-c", true),
            ("a*b*c", "a-c-b", false),
            ("abc", "abcd", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(mask, text), fits, "{mask} {text}");
        }
    }

    #[test]
    fn places() {
        let near = Near { latitude: 46.9931, longitude: 6.93, distance: 0.0 };
        // Neuchâtel to Paris and to Sydney.
        assert!((kilometres((48_856_600, 2_352_200), &near) - 400.0).abs() < 10.0);
        assert!((kilometres((-33_868_800, 151_209_300), &near) - 16_700.0).abs() < 100.0);
        assert!(is_in("CH", "europe") && is_in("ch", "CH") && !is_in("ch", "asia") && !is_in("", "europe"));
    }
}
