//! Connections: making, refusing, filling, closing them.

use super::*;

on_every_driver!(
    connects_and_accepts,
    connects_over_ipv6,
    refuses_where_nobody_listens,
    may_connect_again_after_refusal,
    delivers_a_stream_in_order,
    sends_part_when_the_peer_does_not_read,
    half_closes,
    resets_when_closed_with_unread_data,
    breaks_a_write_to_a_closed_peer,
    closing_a_listener_resets_the_waiting,
    needs_a_connection_to_talk,
    accepted_connections_outlive_their_listener,
);

fn connects_and_accepts(driver: &mut dyn Driver) {
    let (server, address) = listener(driver, any(), 8);
    assert_ne!(address.port(), 0);
    assert_eq!(code(driver.accept(server)), libc::EAGAIN);
    let client = connect(driver, address).unwrap();
    let (accepted, peer) = retry(driver, |driver| driver.accept(server)).unwrap();
    assert_eq!(driver.peer_address(client).unwrap(), address);
    assert_eq!(driver.local_address(client).unwrap(), peer);
    assert_eq!(driver.peer_address(accepted).unwrap(), peer);
    assert_eq!(driver.local_address(accepted).unwrap(), address);
    assert!(driver.connect_result(client).is_ok());
}

fn connects_over_ipv6(driver: &mut dyn Driver) {
    let address: SocketAddr = "[::1]:0".parse().unwrap();
    let (server, address) = listener(driver, address, 8);
    let client = connect(driver, address).unwrap();
    let (accepted, peer) = retry(driver, |driver| driver.accept(server)).unwrap();
    assert!(peer.is_ipv6());
    send_all(driver, client, b"six");
    assert_eq!(recv_exactly(driver, accepted, 3), b"six");
}

fn refuses_where_nobody_listens(driver: &mut dyn Driver) {
    let (server, address) = listener(driver, any(), 8);
    driver.close(server);
    assert_eq!(code(connect(driver, address)), libc::ECONNREFUSED);
    // Bound is not listening.
    let bound = driver.open(ME, Transport::Tcp, Family::V4).unwrap();
    driver.bind(bound, any()).unwrap();
    let address = driver.local_address(bound).unwrap();
    assert_eq!(code(connect(driver, address)), libc::ECONNREFUSED);
}

fn may_connect_again_after_refusal(driver: &mut dyn Driver) {
    let (server, address) = listener(driver, any(), 8);
    driver.close(server);
    let client = driver.open(ME, Transport::Tcp, Family::V4).unwrap();
    assert_eq!(code(driver.connect(client, address)), libc::EAGAIN);
    let refused = retry(driver, |driver| driver.connect_result(client));
    assert_eq!(code(refused), libc::ECONNREFUSED);
    let (_, address) = listener(driver, address, 8);
    assert_eq!(code(driver.connect(client, address)), libc::EAGAIN);
    retry(driver, |driver| driver.connect_result(client)).unwrap();
}

fn delivers_a_stream_in_order(driver: &mut dyn Driver) {
    let (client, server) = pair(driver);
    let sent: Vec<u8> = (0..50_000u32).flat_map(|number| number.to_le_bytes()).collect();
    let mut received = Vec::new();
    let mut offset = 0;
    let mut buffer = [0; 1000];
    while received.len() < sent.len() {
        if offset < sent.len() {
            match driver.send(client, &sent[offset..]) {
                Ok(count) => offset += count,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        let count = retry(driver, |driver| driver.recv(server, &mut buffer)).unwrap();
        received.extend_from_slice(&buffer[..count]);
    }
    assert!(received == sent, "bytes were lost, added or reordered");
}

fn sends_part_when_the_peer_does_not_read(driver: &mut dyn Driver) {
    let (client, server) = pair(driver);
    driver.watch(client, Watch::Edge).unwrap();
    let chunk = vec![b'x'; 256 * 1024];
    let mut total = 0;
    let mut stuck = 0;
    while stuck < 3 {
        match driver.send(client, &chunk) {
            Ok(count) => {
                assert!(count > 0 && count <= chunk.len());
                total += count;
                stuck = 0;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                stuck += 1;
                pause(driver);
            }
        }
        assert!(total < 64 << 20, "a peer that does not read must stop the sender");
    }
    assert!(total > 16 * 1024);
    let mut rest = total;
    let mut buffer = vec![0; 64 * 1024];
    let mut writable = false;
    while rest > 0 {
        let mut wakes = Vec::new();
        let read = retry(driver, |driver| driver.recv(server, &mut buffer)).unwrap();
        rest -= read;
        driver.poll(Some(Duration::ZERO), &mut wakes).unwrap();
        writable |= wakes
            .iter()
            .any(|wake| matches!(wake, Wake::Socket { socket, writable: true, .. } if *socket == client));
    }
    writable |= pause(driver)
        .iter()
        .any(|wake| matches!(wake, Wake::Socket { socket, writable: true, .. } if *socket == client));
    assert!(writable, "a sender that found no room is told when there is some");
    assert!(driver.send(client, b"more").is_ok());
}

fn half_closes(driver: &mut dyn Driver) {
    let (client, server) = pair(driver);
    send_all(driver, client, b"question");
    driver.shutdown(client, Shutdown::Write).unwrap();
    assert_eq!(code(driver.send(client, b"late")), libc::EPIPE);
    assert_eq!(recv_exactly(driver, server, 8), b"question");
    let mut buffer = [0; 8];
    assert_eq!(retry(driver, |driver| driver.recv(server, &mut buffer)).unwrap(), 0);
    send_all(driver, server, b"answer");
    assert_eq!(recv_exactly(driver, client, 6), b"answer");
    driver.close(server);
    assert_eq!(retry(driver, |driver| driver.recv(client, &mut buffer)).unwrap(), 0);
    assert_eq!(driver.recv(client, &mut buffer).unwrap(), 0, "the end stays the end");
}

fn resets_when_closed_with_unread_data(driver: &mut dyn Driver) {
    let (client, server) = pair(driver);
    send_all(driver, client, b"never read");
    pause(driver);
    driver.close(server);
    let mut buffer = [0; 8];
    let result = retry(driver, |driver| driver.recv(client, &mut buffer));
    assert_eq!(code(result), libc::ECONNRESET);
    assert_eq!(driver.recv(client, &mut buffer).unwrap(), 0, "the error is told once");
    assert_eq!(code(driver.send(client, b"x")), libc::EPIPE);
    assert_eq!(code(driver.peer_address(client)), libc::ENOTCONN);
}

fn breaks_a_write_to_a_closed_peer(driver: &mut dyn Driver) {
    let (client, server) = pair(driver);
    driver.close(server);
    pause(driver);
    assert_eq!(driver.send(client, b"first").unwrap(), 5, "the closed end has not said so yet");
    pause(driver);
    assert_eq!(code(driver.send(client, b"second")), libc::EPIPE);
    let mut buffer = [0; 8];
    assert_eq!(driver.recv(client, &mut buffer).unwrap(), 0);
}

fn closing_a_listener_resets_the_waiting(driver: &mut dyn Driver) {
    let (server, address) = listener(driver, any(), 8);
    let client = connect(driver, address).unwrap();
    driver.close(server);
    let mut buffer = [0; 8];
    let result = retry(driver, |driver| driver.recv(client, &mut buffer));
    assert_eq!(code(result), libc::ECONNRESET);
}

fn needs_a_connection_to_talk(driver: &mut dyn Driver) {
    let socket = driver.open(ME, Transport::Tcp, Family::V4).unwrap();
    let mut buffer = [0; 8];
    assert_eq!(code(driver.send(socket, b"x")), libc::EPIPE);
    assert_eq!(code(driver.recv(socket, &mut buffer)), libc::ENOTCONN);
    assert_eq!(code(driver.accept(socket)), libc::EINVAL);
    assert_eq!(code(driver.peer_address(socket)), libc::ENOTCONN);
    assert_eq!(code(driver.shutdown(socket, Shutdown::Both)), libc::ENOTCONN);
    assert_eq!(driver.local_address(socket).unwrap(), "0.0.0.0:0".parse().unwrap());
    let datagrams = driver.open(ME, Transport::Udp, Family::V4).unwrap();
    assert_eq!(code(driver.send(datagrams, b"x")), libc::EDESTADDRREQ);
    assert_eq!(code(driver.listen(datagrams, 1)), libc::EOPNOTSUPP);
}

fn accepted_connections_outlive_their_listener(driver: &mut dyn Driver) {
    let (client, server) = pair(driver);
    pause(driver);
    send_all(driver, client, b"still here");
    assert_eq!(recv_exactly(driver, server, 10), b"still here");
}
