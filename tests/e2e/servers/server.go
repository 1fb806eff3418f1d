// An HTTP server that logs each answer as a line of CSV: server PORT LOG.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

var (
	mu  sync.Mutex
	out *bufio.Writer
)

func status(seq uint64) int {
	switch {
	case seq%97 == 0:
		return 500
	case seq%41 == 0:
		return 404
	}
	return 200
}

func answer(w http.ResponseWriter, r *http.Request) {
	in, _ := io.Copy(io.Discard, r.Body)
	seq, _ := strconv.ParseUint(r.Header.Get("X-Seq"), 10, 64)
	body := strings.Repeat("go ", int(seq%900))
	code := status(seq)
	w.Header().Set("X-Seq", r.Header.Get("X-Seq"))
	w.Header().Set("Content-Type", "application/x-seq."+r.Header.Get("X-Seq"))
	if seq%3 != 0 { // else chunked
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(code)
	if r.Method != "HEAD" {
		half := len(body) / 2
		io.WriteString(w, body[:half])
		if seq%3 == 0 {
			w.(http.Flusher).Flush()
		}
		io.WriteString(w, body[half:])
	} else {
		body = ""
	}
	host, port, _ := net.SplitHostPort(r.RemoteAddr)
	mu.Lock()
	fmt.Fprintf(out, "%d,%s,%s,%d,%d,%d,%s,%s\n", seq, r.Method, r.URL.Path, code, in, len(body),
		host, port)
	mu.Unlock()
}

func main() {
	f, err := os.Create(os.Args[2])
	if err != nil {
		panic(err)
	}
	out = bufio.NewWriter(f)
	fmt.Fprintln(out, "seq,method,path,status,request_body_bytes,response_body_bytes,client_addr,client_port")
	go func() {
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		<-c
		mu.Lock()
		out.Flush()
		os.Exit(0)
	}()
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(answer)))
}
