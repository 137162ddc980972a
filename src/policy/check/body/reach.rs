//! Static limits of a program: how deeply it nests schemas about one value, and how often it visits a value.

use super::program::{InPlace, MAX_IN_PLACE, Node, NodeId, Rest};

/// How far a node has been followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Followed {
    Not,
    Begun,
    /// The nesting of nodes about the same value, including itself.
    Deep(usize),
}

/// Checks that schemas about one value are not nested endlessly or too deeply.
///
/// # Errors
/// The node that is, and what is wrong with it.
pub fn in_place_depth(nodes: &[Node]) -> Result<(), (NodeId, String)> {
    let mut followed = vec![Followed::Not; nodes.len()];
    for start in 0..nodes.len() {
        let mut stack = vec![start];
        while let Some(&at) = stack.last() {
            let below = || nodes.get(at).into_iter().flat_map(|node| &node.in_place).flat_map(InPlace::nodes);
            let begun = followed.get(at) == Some(&Followed::Begun);
            if !matches!(followed.get(at), Some(Followed::Not | Followed::Begun)) {
                stack.pop();
                continue;
            }
            let mut depth = 1_usize;
            for next in below().map(usize::from) {
                match followed.get(next) {
                    Some(Followed::Deep(below)) => depth = depth.max(below.saturating_add(1)),
                    Some(Followed::Begun) => {
                        let what = "leads back to itself without going into a member or an element; \
                                    remove the reference that closes the circle";
                        return Err((id(next), what.to_owned()));
                    }
                    Some(Followed::Not) if !begun => stack.push(next),
                    Some(Followed::Not) | None => {}
                }
            }
            if !begun {
                if let Some(slot) = followed.get_mut(at) {
                    *slot = Followed::Begun;
                }
                continue;
            }
            if depth > MAX_IN_PLACE {
                let what = format!(
                    "puts more than {MAX_IN_PLACE} schemas about one value within each other; use fewer levels of \
                     allOf, anyOf, oneOf, not, if and $ref"
                );
                return Err((id(at), what));
            }
            if let Some(slot) = followed.get_mut(at) {
                *slot = Followed::Deep(depth);
            }
            stack.pop();
        }
    }
    Ok(())
}

fn id(index: usize) -> NodeId {
    NodeId::try_from(index).unwrap_or(NodeId::MAX)
}

/// An upper bound of the visits of one value if verdicts are not cached: it takes the member of each node with the most
/// visits.
pub fn visits(nodes: &[Node], levels: usize) -> u64 {
    // Visits of a value this many levels below the current one, by node.
    let mut below = vec![0_u64; nodes.len()];
    let mut most = 0;
    for level in 0..levels {
        let mut here: Vec<Option<u64>> = vec![None; nodes.len()];
        for start in 0..nodes.len() {
            // This ends, since nodes about the same value are nested at most `MAX_IN_PLACE` deep.
            settle(nodes, start, level, &below, &mut here);
        }
        below = here.into_iter().map(Option::unwrap_or_default).collect();
        most = most.max(below.first().copied().unwrap_or_default());
        if most == u64::MAX {
            break;
        }
    }
    most
}

fn settle(nodes: &[Node], at: usize, level: usize, below: &[u64], here: &mut [Option<u64>]) -> u64 {
    if let Some(Some(known)) = here.get(at) {
        return *known;
    }
    let Some(node) = nodes.get(at) else { return 0 };
    let mut sum = if level == 0 { 1 } else { members_visits(node, below) };
    for step in &node.in_place {
        // A reference is followed once; a choice of branches may try one of them twice, to report what is missing.
        let times = if matches!(step, InPlace::All(_)) { 1 } else { 2 };
        for next in step.nodes() {
            let visits = settle(nodes, usize::from(next), level, below, here);
            sum = sum.saturating_add(visits.saturating_mul(times));
        }
    }
    if node.unevaluated_members.is_some() || node.unevaluated_elements.is_some() {
        sum = sum.saturating_mul(4);
    }
    if let Some(slot) = here.get_mut(at) {
        *slot = Some(sum);
    }
    sum
}

/// Visits of one member or element by the rules of the node itself.
fn members_visits(node: &Node, below: &[u64]) -> u64 {
    let of = |node: NodeId| below.get(usize::from(node)).copied().unwrap_or_default();
    let rest = |rest: Option<Rest>| rest.and_then(Rest::node).map_or(0, of);
    let of_members = node.object.as_ref().map_or(0, |rules| {
        let named = rules.properties.iter().map(|(_, node)| of(*node)).max().unwrap_or_default();
        let matched = rules.patterns.iter().fold(0_u64, |sum, (_, node)| sum.saturating_add(of(*node)));
        named.saturating_add(matched).max(rest(rules.additional))
    });
    let of_elements = node.list.as_ref().map_or(0, |rules| {
        let placed = rules.prefix.iter().map(|node| of(*node)).max().unwrap_or_default();
        let contained = rules.contains.as_ref().map_or(0, |(node, _)| of(*node));
        placed.max(rest(rules.rest)).saturating_add(contained)
    });
    let unevaluated = rest(node.unevaluated_members).max(rest(node.unevaluated_elements));
    of_members.max(of_elements).saturating_add(unevaluated)
}
