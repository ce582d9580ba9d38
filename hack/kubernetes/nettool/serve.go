package main

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
)

// serve answers on three ports, IPv4 and IPv6, until it is ended. A port of 0 is left out.
//   - HTTP: one line `ADDRESS PORT`, then a line with this host's name
//   - TCP: `ADDRESS PORT` once, then every line that comes, back
//   - UDP: `ADDRESS PORT ` and the datagram, back
func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	httpPort := flags.Int("http", 80, "HTTP port")
	tcpPort := flags.Int("tcp", 7, "TCP echo port")
	udpPort := flags.Int("udp", 7, "UDP echo port")
	flags.Parse(args)
	failed := make(chan error)
	start := func(port int, run func(string) error) {
		if port != 0 {
			go func() { failed <- run(fmt.Sprintf(":%d", port)) }()
		}
	}
	start(*httpPort, serveHTTP)
	start(*tcpPort, serveTCP)
	start(*udpPort, serveUDP)
	return <-failed
}

// seen is an address as text, an IPv4 one in its own notation also where the socket is IPv6.
func seen(address net.Addr) string {
	host, port, _ := net.SplitHostPort(address.String())
	return host + " " + port
}

func serveHTTP(listen string) error {
	name, _ := os.Hostname()
	return http.ListenAndServe(listen, http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		host, port, _ := net.SplitHostPort(request.RemoteAddr)
		fmt.Fprintf(w, "%s %s\n%s\n", host, port, name)
	}))
}

func serveTCP(listen string) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer connection.Close()
			fmt.Fprintln(connection, seen(connection.RemoteAddr()))
			for lines := bufio.NewScanner(connection); lines.Scan(); {
				fmt.Fprintln(connection, lines.Text())
			}
		}()
	}
}

func serveUDP(listen string) error {
	socket, err := net.ListenPacket("udp", listen)
	if err != nil {
		return err
	}
	buffer := make([]byte, 65536)
	for {
		length, client, err := socket.ReadFrom(buffer)
		if err != nil {
			return err
		}
		// An answer that can't be sent (no route back) is a lost packet, no reason to end.
		socket.WriteTo(append([]byte(seen(client)+" "), buffer[:length]...), client)
	}
}
