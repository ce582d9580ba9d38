// nettool is what the end-to-end tests run in pods and outside the cluster, without a library beside Go's own:
//
//	nettool serve [-http 80] [-tcp 7] [-udp 7]   answers with the client's address as it was seen here
//	nettool ask [-udp] [-timeout 2s] HOST PORT   asks that once, and prints the answer
//	nettool health [-port 50051] [-file F]       a gRPC health service; NOT_SERVING while F exists
//	nettool flow [-udp] [-interval 10ms] [-duration 0] HOST PORT
//	                                             one running flow, an echo per interval; counts what is lost until SIGINT/SIGTERM or duration
//	wget [-T SECONDS] [-q] [-O -] URL            called by that name
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	commands := map[string]func([]string) error{"serve": serve, "ask": ask, "health": health, "flow": flow, "wget": wget}
	args := os.Args
	if _, isName := commands[filepath.Base(args[0])]; !isName {
		args = args[1:]
	}
	if len(args) > 0 {
		if command, known := commands[filepath.Base(args[0])]; known {
			if err := command(args[1:]); err != nil {
				fmt.Fprintln(os.Stderr, "nettool:", err)
				os.Exit(1)
			}
			return
		}
	}
	fmt.Fprintln(os.Stderr, "usage: nettool serve|ask|health|flow|wget [FLAGS]")
	os.Exit(2)
}
