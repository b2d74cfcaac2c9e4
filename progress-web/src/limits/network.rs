//! Networks, written as people write them.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net};

/// A network of addresses, such as `10.0.0.0/8`, `2001:db8::/32` or a single `192.0.2.7`.
///
/// ```
/// use progress_web::Network;
///
/// let network: Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains("10.1.2.3".parse().unwrap()));
/// assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()));
/// assert!("0.0.0.0/0".parse::<Network>().is_err());
/// # Ok::<_, progress_web::InvalidNetwork>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

/// A text that is no [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidNetwork {
    /// It is neither an address nor an address with the length of a prefix.
    Malformed,
    /// It holds every address there is: whoever is in it is trusted, so nobody would not be.
    Everybody,
}

impl Network {
    /// Tells whether an address is in the network; one of IPv4 that is written as one of IPv6
    /// (`::ffff:192.0.2.7`) is what it stands for.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse().map_err(|_| InvalidNetwork::Malformed)?,
        };
        if network.prefix_len() == 0 {
            return Err(InvalidNetwork::Everybody);
        }
        Ok(Self(canonical(network).trunc()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "no network: it is an address, or one with the length of a prefix",
            Self::Everybody => "a network of all addresses is not one to trust",
        })
    }
}

impl std::error::Error for InvalidNetwork {}

/// Addresses are compared in their canonical form, so a network of mapped ones has to be too.
fn canonical(network: IpNet) -> IpNet {
    if let (IpAddr::V4(address), IpNet::V6(mapped)) = (network.addr().to_canonical(), network)
        && let Some(length) = mapped.prefix_len().checked_sub(MAPPED)
        && let Ok(network) = Ipv4Net::new(address, length)
        && length > 0
    {
        return network.into();
    }
    network
}

/// Bits before the address in one of IPv4 that is written as one of IPv6.
const MAPPED: u8 = 96;

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(network: &str, address: &str) -> bool {
        let network: Network = network.parse().unwrap();
        network.contains(address.parse().unwrap())
    }

    #[test]
    fn mapped_addresses_and_networks_are_those_they_stand_for() {
        assert!(holds("10.0.0.0/8", "::ffff:10.9.9.9"));
        assert!(holds("::ffff:10.0.0.0/104", "10.9.9.9"));
        assert!(holds("::ffff:10.0.0.7", "10.0.0.7"));
        assert!(!holds("::ffff:10.0.0.0/104", "11.0.0.1"));
        assert!(holds("2001:db8::1/32", "2001:db8:ffff::"));
        assert!(!holds("10.0.0.1", "10.0.0.2"));
    }

    #[test]
    fn what_is_no_network_or_all_of_them_is_refused() {
        for text in ["", "10.0.0.0/33", "10.0.0/8", "host", " 10.0.0.1", "::/129"] {
            let error = text.parse::<Network>().unwrap_err();
            assert_eq!(error, InvalidNetwork::Malformed, "{text}");
        }
        for text in ["0.0.0.0/0", "::/0"] {
            let error = text.parse::<Network>().unwrap_err();
            assert_eq!(error, InvalidNetwork::Everybody, "{text}");
        }
    }
}
