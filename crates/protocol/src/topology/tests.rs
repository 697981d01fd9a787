use super::quantity::time;
use super::*;

const MODELNET: &str = r#"<?xml version="1.0"?>
<topology>
  <vertices>
    <vertex int_idx="1" role="virtnode" int_vn="1"/>
    <vertex int_idx="2" role="virtnode" int_vn="2"/>
    <vertex int_idx="3" role="gateway" int_vn="3"/>
  </vertices>
  <edges>
    <edge int_idx="1" int_src="1" int_dst="3" specs="client-stub" int_delayms="5"/>
    <edge int_idx="2" int_src="2" int_dst="3" specs="client-stub"/>
    <edge int_idx="3" int_src="3" int_dst="2" specs="client-stub" int_delayms="7" dbl_kbps="768"/>
  </edges>
  <specs>
    <client-stub dbl_plr="0.1" dbl_kbps="1024" int_delayms="50" int_qlen="10"/>
  </specs>
</topology>"#;

fn graph(text: &str) -> Graph {
    match Topology::parse(text).unwrap() {
        Topology::Graph(graph) => graph,
        Topology::Matrix(_) => panic!("a matrix"),
    }
}

fn routes(text: &str) -> Routes {
    Routes::new(graph(text))
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn edges_override_specs_and_get_reverses() {
    let mut routes = routes(MODELNET);
    let [one, two] = routes.graph().places() else { panic!("two places") };
    let (one, two) = (*one, *two);
    let there = routes.path(one, two).unwrap();
    assert_eq!((there.latency, there.bandwidth_bps), (ms(12), Some(768_000)));
    assert!((there.loss - 0.19).abs() < 1e-12, "{}", there.loss);
    assert_eq!(there.queue_packets, Some(10));
    // Back: the spec's 50 ms, then the missing reverse of edge 1 with its 5.
    assert_eq!(routes.path(two, one).unwrap().latency, ms(55));
    assert!(routes.path(one, one).unwrap().links.is_empty());
}

#[test]
fn virtual_nodes_count_from_zero_or_one() {
    let zero = MODELNET.replace("int_vn=\"1\"", "int_vn=\"0\"").replace("int_vn=\"2\"", "int_vn=\"1\"");
    assert_eq!(graph(&zero).places(), graph(MODELNET).places());
    // The order of positions is that of the numbers, not that of the file.
    let turned = MODELNET.replace("\"virtnode\" int_vn=\"1\"", "\"virtnode\" int_vn=\"x\"");
    let turned = turned.replace("int_vn=\"2\"", "int_vn=\"1\"").replace("int_vn=\"x\"", "int_vn=\"2\"");
    assert_eq!(graph(&turned).places(), [1, 0]);
}

#[test]
fn errors_tell_line_and_element() {
    let cases = [
        (
            "int_dst=\"3\" specs=\"client-stub\" int_delayms=\"5\"",
            "int_dst=\"9\"",
            "line 9: <edge int_idx=\"1\">: `int_dst` is 9",
        ),
        (
            "specs=\"client-stub\"/>",
            "specs=\"nothing\"/>",
            "line 10: <edge int_idx=\"2\">: no spec is called `nothing`",
        ),
        (
            "int_delayms=\"7\"",
            "int_delayms=\"soon\"",
            "line 11: <edge int_idx=\"3\">: `int_delayms` is `soon`",
        ),
        ("int_delayms=\"7\"", "int_delayms=\"-7\"", "line 11: <edge int_idx=\"3\">: `int_delayms` is `-7`"),
        (
            "dbl_plr=\"0.1\"",
            "dbl_plr=\"1.1\"",
            "line 14: <client-stub dbl_plr=\"1.1\">: `dbl_plr` is more than 1",
        ),
        ("role=\"gateway\"", "role=\"router\"", "line 6: <vertex int_idx=\"3\">: its role `router`"),
        ("int_vn=\"2\"", "int_vn=\"4\"", "line 5: <vertex int_idx=\"2\">: int_vn goes on at 4 where 2"),
        ("int_vn=\"2\"", "int_vn=\"1\"", "line 5: <vertex int_idx=\"2\">: another virtnode"),
        ("int_idx=\"2\" role", "int_idx=\"1\" role", "line 5: <vertex int_idx=\"1\">: another vertex"),
        (
            "int_src=\"3\" int_dst=\"2\"",
            "int_src=\"2\" int_dst=\"3\"",
            "line 11: <edge int_idx=\"3\">: the same two",
        ),
        ("<specs>", "<specs", "line "),
    ];
    for (good, bad, told) in cases {
        assert!(MODELNET.contains(good), "{good}");
        let error = Topology::parse(&MODELNET.replacen(good, bad, 1)).unwrap_err().to_string();
        assert!(error.starts_with(told), "{bad}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn unconnected_places_are_told() {
    let cut = MODELNET.replace("<edge int_idx=\"2\" int_src=\"2\" int_dst=\"3\" specs=\"client-stub\"/>", "");
    let cut = cut.replace("<edge int_idx=\"3\" int_src=\"3\" int_dst=\"2\" specs=\"client-stub\" int_delayms=\"7\" dbl_kbps=\"768\"/>", "");
    assert_eq!(
        Topology::parse(&cut).unwrap_err().to_string(),
        "vertex 2: cannot be reached from the first place"
    );
}

#[test]
fn graphml_of_two_kinds() {
    let text = r#"<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
      <key id="d0" for="edge" attr.name="latency_ms" attr.type="double"><default>3</default></key>
      <key id="d1" for="edge" attr.name="bandwidth_kbps" attr.type="double"/>
      <key id="d2" for="node" attr.name="role" attr.type="string"/>
      <graph edgedefault="undirected">
        <node id="a"><data key="d2">virtnode</data></node><node id="r"/>
        <node id="b"><data key="d2">virtnode</data></node>
        <edge source="a" target="r"><data key="d0">10</data><data key="d1">512</data></edge>
        <edge source="r" target="b"/>
      </graph></graphml>"#;
    let mut routes = routes(text);
    let path = routes.path(0, 2).unwrap();
    assert_eq!((path.latency, path.bandwidth_bps), (ms(13), Some(512_000)));
    assert_eq!(routes.graph().places(), [0, 2]);
    // Geneva to Zurich, 224 km: 1.12 ms of fibre.
    let zoo = r#"<graphml><key id="x" for="node" attr.name="Longitude"/><key id="y" for="node" attr.name="Latitude"/>
      <graph edgedefault="undirected"><node id="0"><data key="x">6.147</data><data key="y">46.202</data></node>
      <node id="1"><data key="x">8.541</data><data key="y">47.374</data></node>
      <edge source="0" target="1"/></graph></graphml>"#;
    let latency = Routes::new(graph(zoo)).path(0, 1).unwrap().latency.as_secs_f64();
    assert!((latency / 1.12e-3 - 1.0).abs() < 0.01, "{latency}");
    let bad = zoo.replace("target=\"1\"", "target=\"7\"");
    let error = Topology::parse(&bad).unwrap_err().to_string();
    assert_eq!(error, "line 4: <edge source=\"0\">: `target` is `7`, which is no node");
}

fn matrix(text: &str) -> Matrix {
    match Topology::parse(text).unwrap() {
        Topology::Matrix(matrix) => matrix,
        Topology::Graph(_) => panic!("a graph"),
    }
}

#[test]
fn matrices_of_both_forms() {
    let square = matrix("# measured\n0,10,20.5\n11,0,nan\n21,-1,0\n".replace("-1", "30").as_str());
    assert_eq!((square.latency(0, 1), square.latency(1, 0)), (ms(10), ms(11)));
    assert_eq!(square.latency(1, 2), ms(30), "taken from the other direction");
    let triples = matrix("# rtt\n# unit us\n1 2 30000\n1 3 40000\n3 2 50000\n");
    assert_eq!(triples.places(), 3);
    assert_eq!((triples.latency(0, 1), triples.latency(1, 2)), (ms(15), ms(25)));
    let cases = [
        ("0,1\n1,x\n", "line 2: row 2, column 2: `x` is not a number"),
        ("0,1\n1\n", "line 2: row 2: has 1 values where the first row has 2"),
        ("0,1\n", "latency matrix: has 1 rows of 2 values"),
        ("1 2 3\n1 2\n", "line 2: triple: has 2 fields"),
        ("1 2 3\n1 b 2\n", "line 2: j: `b` is not the number"),
        ("1 2 3\n3 3 0\n", "latency matrix: neither direction between places 1 and 3"),
        ("", "latency matrix: has no line"),
        ("1 99999999 3\n", "line 1: latency matrix: has more than"),
    ];
    for (text, told) in cases {
        let error = Topology::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(told), "{text:?}: {error}");
    }
}

#[test]
fn paths_are_the_shortest_and_remembered_within_bounds() {
    let made: Generator = "scale-free:n=60,m=2".parse().unwrap();
    let graph = made.generate(1, 5).unwrap();
    let count = graph.vertices().len();
    // Floyd and Warshall's algorithm knows the answers.
    let mut best = vec![vec![u128::MAX / 4; count]; count];
    (0..count).for_each(|vertex| best[vertex][vertex] = 0);
    for link in graph.links() {
        best[link.from as usize][link.to as usize] = link.latency.as_nanos();
    }
    for middle in 0..count {
        for from in 0..count {
            for to in 0..count {
                best[from][to] = best[from][to].min(best[from][middle] + best[middle][to]);
            }
        }
    }
    let places = graph.places().to_vec();
    let mut routes = Routes::with_sources(graph, 7);
    for &from in &places {
        for &to in &places {
            let path = routes.path(from, to).unwrap();
            assert_eq!(path.latency.as_nanos(), best[from as usize][to as usize]);
        }
        assert!(routes.remembered() <= 7);
    }
    assert_eq!(routes.computed(), places.len() as u64);
}

#[test]
fn generators_make_what_they_say() {
    for (text, places, vertices) in [
        ("star", 9, 10),
        ("dumbbell:n=5", 5, 7),
        ("transit-stub:n=40,transits=3,transit-size=2,stubs=2,stub-size=3", 40, 40 + 3 * 2 * 7),
        ("scale-free:n=30,m=3", 30, 60),
        ("regions:regions=4", 9, 13),
    ] {
        let made: Generator = text.parse().unwrap();
        let graph = made.generate(9, 3).unwrap();
        assert_eq!((graph.places().len(), graph.vertices().len()), (places, vertices), "{text}");
        assert_eq!(graph.unreachable(), None, "{text}");
        assert_eq!(graph, made.generate(9, 3).unwrap(), "{text}");
        // What is written is read back the same, but for names and drawing.
        let again = self::graph(&graph.to_modelnet());
        assert_eq!((again.links(), again.places()), (graph.links(), graph.places()), "{text}");
    }
    let seeded = |seed| "scale-free:n=30".parse::<Generator>().unwrap().generate(1, seed).unwrap();
    assert_ne!(seeded(1), seeded(2));
}

#[test]
fn scale_free_graphs_have_hubs() {
    let graph = "scale-free:n=2000,m=2".parse::<Generator>().unwrap().generate(1, 1).unwrap();
    let mut degrees: Vec<usize> = (0..2000).map(|router| graph.leaving(router).len() - 1).collect();
    degrees.sort_unstable();
    // Of 2 (n - 2) + 1 links each counts twice: 4 each on average. In a random graph of that mean
    // (Poisson) nobody would have more than about 15; the greatest degree here is about
    // m sqrt(n) = 89.
    assert_eq!(degrees.iter().sum::<usize>(), 2 * (2 * (2000 - 2) + 1));
    assert!(degrees[1999] > 45, "{}", degrees[1999]);
    assert!(degrees[0] >= 1 && degrees[1000] <= 3, "half of all have few");
}

#[test]
fn regions_are_as_far_apart_as_documented() {
    for a in 0..REGIONS.len() {
        for b in 0..REGIONS.len() {
            for over in 0..REGIONS.len() {
                let detour = region_rtt_ms(a, over) + region_rtt_ms(over, b);
                assert!(region_rtt_ms(a, b) <= detour, "{a} {b} over {over}");
            }
        }
    }
    let graph = "regions".parse::<Generator>().unwrap().generate(16, 1).unwrap();
    let places = graph.places().to_vec();
    let mut routes = Routes::new(graph);
    // us-east to eu-west: 68 ms there and back, and four times a quarter of a millisecond.
    let (there, back) =
        (routes.path(places[0], places[2]).unwrap(), routes.path(places[2], places[0]).unwrap());
    assert_eq!(there.latency + back.latency, ms(69));
    assert_eq!(routes.path(places[0], places[8]).unwrap().latency, time("500us").unwrap());
}

#[test]
fn bad_generators_are_told() {
    let cases = [
        ("ring", "topology `ring`: is not one of star, dumbbell"),
        ("star:n", "star: `n`: is not of the form KEY=VALUE"),
        ("star:n=0", "star: n: `0` is not a number from 1 on"),
        ("star:m=2", "star: m: is not one of n, latency"),
        ("star:latency=fast", "star: latency: `fast` is not a time"),
        ("regions:regions=9", "regions: regions: there are only 8"),
    ];
    for (text, told) in cases {
        let error = text.parse::<Generator>().unwrap_err().to_string();
        assert!(error.starts_with(told), "{text}: {error}");
    }
    assert!("scale-free:n=9000000".parse::<Generator>().unwrap().generate(1, 1).is_err());
}

mod hostile {
    use proptest::prelude::*;

    use crate::topology::Topology;

    proptest! {
        /// Whatever a file holds: an error of one line or a topology, never a panic.
        #[test]
        fn no_text_panics(text in "(<topology>|<vertices>|<edges>|<graphml>|<graph>|<node id='1'/>|<edge |/>|[0-9,. \n]|-1|nan|</)*") {
            if let Err(error) = Topology::parse(&text) {
                prop_assert!(!error.to_string().contains('\n'));
            }
        }
    }
}
