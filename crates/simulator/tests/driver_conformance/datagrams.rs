//! Datagrams.

use super::*;

on_every_driver!(
    exchanges_datagrams,
    cuts_datagrams_that_do_not_fit,
    limits_the_size_of_datagrams,
    loses_datagrams_nobody_takes,
    hears_only_its_peer_once_connected,
    needs_permission_to_broadcast,
);

fn exchanges_datagrams(driver: &mut dyn Driver) {
    let (a, a_address) = udp(driver);
    let b = driver.open(ME, Transport::Udp, Family::V4).unwrap();
    assert_eq!(driver.send_to(b, b"one", a_address).unwrap(), 3);
    assert_eq!(driver.send_to(b, b"", a_address).unwrap(), 0);
    let mut buffer = [0; 16];
    let (length, from) = retry(driver, |driver| driver.recv_from(a, &mut buffer)).unwrap();
    assert_eq!(&buffer[..length], b"one");
    let (empty, _) = retry(driver, |driver| driver.recv_from(a, &mut buffer)).unwrap();
    assert_eq!(empty, 0);
    driver.send_to(a, b"two", from).unwrap();
    let (length, from) = retry(driver, |driver| driver.recv_from(b, &mut buffer)).unwrap();
    assert_eq!((&buffer[..length], from), (&b"two"[..], a_address));
}

fn cuts_datagrams_that_do_not_fit(driver: &mut dyn Driver) {
    let (a, address) = udp(driver);
    let (b, _) = udp(driver);
    driver.send_to(b, b"0123456789", address).unwrap();
    driver.send_to(b, b"next", address).unwrap();
    let mut buffer = [0; 4];
    let (length, _) = retry(driver, |driver| driver.recv_from(a, &mut buffer)).unwrap();
    assert_eq!(&buffer[..length], b"0123");
    let (length, _) = retry(driver, |driver| driver.recv_from(a, &mut buffer)).unwrap();
    assert_eq!(&buffer[..length], b"next");
}

fn limits_the_size_of_datagrams(driver: &mut dyn Driver) {
    let (a, address) = udp(driver);
    let (b, _) = udp(driver);
    let data = vec![1; 65_508];
    assert_eq!(code(driver.send_to(b, &data, address)), libc::EMSGSIZE);
    assert_eq!(driver.send_to(b, &data[..65_507], address).unwrap(), 65_507);
    let mut buffer = vec![0; 70_000];
    let (length, _) = retry(driver, |driver| driver.recv_from(a, &mut buffer)).unwrap();
    assert_eq!(length, 65_507);
}

fn loses_datagrams_nobody_takes(driver: &mut dyn Driver) {
    let (gone, address) = udp(driver);
    driver.close(gone);
    let (a, _) = udp(driver);
    driver.send_to(a, b"lost", address).unwrap();
    pause(driver);
    driver.send_to(a, b"lost", address).unwrap();
    let mut buffer = [0; 8];
    assert_eq!(code(driver.recv_from(a, &mut buffer)), libc::EAGAIN);
    // With a fixed peer the loss is told.
    driver.connect(a, address).unwrap();
    driver.send(a, b"lost").unwrap();
    pause(driver);
    assert_eq!(code(driver.recv(a, &mut buffer)), libc::ECONNREFUSED);
    assert_eq!(code(driver.recv(a, &mut buffer)), libc::EAGAIN);
}

fn hears_only_its_peer_once_connected(driver: &mut dyn Driver) {
    let (a, a_address) = udp(driver);
    let (b, b_address) = udp(driver);
    let (stranger, _) = udp(driver);
    driver.connect(a, b_address).unwrap();
    assert_eq!(driver.peer_address(a).unwrap(), b_address);
    driver.send_to(stranger, b"noise", a_address).unwrap();
    driver.send_to(b, b"signal", a_address).unwrap();
    let mut buffer = [0; 8];
    let length = retry(driver, |driver| driver.recv(a, &mut buffer)).unwrap();
    assert_eq!(&buffer[..length], b"signal");
    pause(driver);
    assert_eq!(code(driver.recv(a, &mut buffer)), libc::EAGAIN);
    driver.disconnect(a).unwrap();
    assert_eq!(code(driver.peer_address(a)), libc::ENOTCONN);
}

fn needs_permission_to_broadcast(driver: &mut dyn Driver) {
    let (socket, _) = udp(driver);
    let everybody = "255.255.255.255:9".parse().unwrap();
    assert_eq!(code(driver.send_to(socket, b"x", everybody)), libc::EACCES);
}
