// nettool is what the end-to-end tests run in pods and outside the cluster, without a library beside Go's own:
//
//	nettool serve [-http 80] [-tcp 7] [-udp 7]   answers with the client's address as it was seen here
//	nettool health [-port 50051] [-file F]       a gRPC health service; NOT_SERVING while F exists
//	nettool flow [-udp] [-interval 10ms] [-duration 0] HOST PORT
//	                                             one running flow, an echo per interval; counts what is lost until SIGINT/SIGTERM or duration
package main

import (
	"fmt"
	"os"
)

func main() {
	commands := map[string]func([]string) error{"serve": serve, "health": health, "flow": flow}
	if len(os.Args) > 1 {
		if command, known := commands[os.Args[1]]; known {
			if err := command(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, "nettool:", err)
				os.Exit(1)
			}
			return
		}
	}
	fmt.Fprintln(os.Stderr, "usage: nettool serve|health|flow [FLAGS]")
	os.Exit(2)
}
