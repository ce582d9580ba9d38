package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// report is what a flow prints when it ends, as one line of JSON. Times in milliseconds.
type report struct {
	Sent      int     `json:"sent"`
	Received  int     `json:"received"`
	Lost      int     `json:"lost"`
	LongestMs float64 `json:"longestMs"` // the longest silence between two answers
	Seen      string  `json:"seen"`      // our address and port as the peer sees them
	Error     string  `json:"error,omitempty"`
}

// flow talks to `nettool serve`: one connection or one UDP socket, a numbered line per interval. It waits a second for the last answers.
func flow(args []string) error {
	flags := flag.NewFlagSet("flow", flag.ExitOnError)
	udp := flags.Bool("udp", false, "UDP instead of TCP")
	interval := flags.Duration("interval", 10*time.Millisecond, "between two packets")
	duration := flags.Duration("duration", 0, "end by itself after this time")
	flags.Parse(args)
	if flags.NArg() != 2 {
		return errors.New("flow: HOST PORT")
	}
	network := map[bool]string{false: "tcp", true: "udp"}[*udp]
	connection, err := net.DialTimeout(network, net.JoinHostPort(flags.Arg(0), flags.Arg(1)), 5*time.Second)
	if err != nil {
		return err
	}
	defer connection.Close()

	var lock sync.Mutex
	var result report
	last := time.Now()
	answered := make(map[string]bool)
	note := func(text string) {
		lock.Lock()
		defer lock.Unlock()
		words := strings.Fields(text)
		// TCP tells the address once and numbers alone after that; UDP tells both each time.
		if len(words) >= 2 {
			result.Seen = words[0] + " " + words[1]
			words = words[2:]
		}
		if len(words) == 1 && !answered[words[0]] {
			answered[words[0]] = true
			result.Received++
			result.LongestMs = max(result.LongestMs, float64(time.Since(last).Microseconds())/1000)
			last = time.Now()
		}
	}
	go func() {
		if *udp {
			for buffer := make([]byte, 2048); ; {
				length, err := connection.Read(buffer)
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err == nil {
					note(string(buffer[:length]))
				}
			}
		}
		for lines := bufio.NewScanner(connection); lines.Scan(); {
			note(lines.Text())
		}
	}()

	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt, syscall.SIGTERM)
	var deadline <-chan time.Time
	if *duration > 0 {
		deadline = time.After(*duration)
	}
	ticker := time.NewTicker(*interval)
	defer ticker.Stop()
	for running := true; running; {
		select {
		case <-ticker.C:
			_, err := fmt.Fprintf(connection, "%d\n", result.Sent)
			result.Sent++
			if err != nil && !*udp {
				result.Error = err.Error()
				running = false
			}
		case <-ended:
			running = false
		case <-deadline:
			running = false
		}
	}
	complete := func() bool {
		lock.Lock()
		defer lock.Unlock()
		return result.Received == result.Sent
	}
	for waited := 0; waited < 100 && !complete(); waited++ {
		time.Sleep(10 * time.Millisecond)
	}
	lock.Lock()
	defer lock.Unlock()
	result.Lost = result.Sent - result.Received
	return json.NewEncoder(os.Stdout).Encode(result)
}
