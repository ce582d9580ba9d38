package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// ask sends one datagram, or opens one connection, to `nettool serve` and prints how we are seen there.
func ask(args []string) error {
	flags := flag.NewFlagSet("ask", flag.ExitOnError)
	udp := flags.Bool("udp", false, "UDP instead of TCP")
	timeout := flags.Duration("timeout", 2*time.Second, "for all of it")
	flags.Parse(args)
	if flags.NArg() != 2 {
		return errors.New("ask: HOST PORT")
	}
	network := map[bool]string{false: "tcp", true: "udp"}[*udp]
	connection, err := net.DialTimeout(network, net.JoinHostPort(flags.Arg(0), flags.Arg(1)), *timeout)
	if err != nil {
		return err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(*timeout))
	fmt.Fprintln(connection, "?")
	answer, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		return err
	}
	words := strings.Fields(answer)
	if len(words) < 2 {
		return fmt.Errorf("not from nettool: %q", answer)
	}
	fmt.Println(words[0], words[1])
	return nil
}

// wget stands in for busybox's, which in Debian has no -T (and crashes of it): `wget [-T SECONDS] [-q] [-O -] URL` to standard output.
func wget(args []string) error {
	client := http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}
	url := ""
	for at := 0; at < len(args); at++ {
		switch argument := args[at]; {
		case argument == "-T" && at+1 < len(args):
			at++
			seconds, err := time.ParseDuration(args[at] + "s")
			if err != nil {
				return err
			}
			client.Timeout = seconds
		case argument == "-q" || argument == "-qO-" || argument == "-O-":
		case argument == "-O" || argument == "-qO":
			if at++; at >= len(args) || args[at] != "-" {
				return errors.New("wget: -O - is all there is here")
			}
		case strings.HasPrefix(argument, "-"):
			return fmt.Errorf("wget: no option %s here", argument)
		default:
			url = argument
		}
	}
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("wget: %s: %s", url, answer.Status)
	}
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}
