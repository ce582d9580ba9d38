package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
)

// health serves grpc.health.v1.Health/Check over plain-text HTTP/2. The answer is HealthCheckResponse with field 1 (status) 1 = SERVING or
// 2 = NOT_SERVING, behind gRPC's five-byte prefix (not compressed, length 2).
func health(args []string) error {
	flags := flag.NewFlagSet("health", flag.ExitOnError)
	port := flags.Int("port", 50051, "port")
	file := flags.String("file", "", "file whose presence means NOT_SERVING")
	flags.Parse(args)
	server := http.Server{Addr: fmt.Sprintf(":%d", *port), Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(true)
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		io.Copy(io.Discard, request.Body)
		header := w.Header()
		header.Set("Content-Type", "application/grpc")
		header.Set("Trailer", "Grpc-Status")
		if request.URL.Path != "/grpc.health.v1.Health/Check" {
			header.Set("Grpc-Status", "12") // UNIMPLEMENTED
			return
		}
		status := byte(1)
		if _, err := os.Stat(*file); *file != "" && err == nil {
			status = 2
		}
		w.Write([]byte{0, 0, 0, 0, 2, 0x08, status})
		header.Set("Grpc-Status", "0")
	})
	return server.ListenAndServe()
}
