// Command smux-peer is the other end of the interoperability test of the smux multiplexer: Go's xtaci/smux in one role
// and version on one TCP connection.
//
//	smux-peer -addr 127.0.0.1:4000 -role dial|accept -version 1|2 -streams 40
//
// Each end opens -streams streams. On each the opener sends a request, ends its direction and reads the answer:
//
//	request: length u32 | length of the answer's bytes u32 | bytes
//	answer:  FNV-1a 64 of the request's bytes u64 | bytes | FNV-1a 64 of these u64
//
// All numbers are little-endian. When all went well it opens one more stream, sends "done" and closes it; it ends with
// exit code 0 when the other end closes the connection.
//
// The other end must not end an answer before "done": behind CloseWrite this library drops what it has not read yet
// when the FIN arrives.
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand"
	"net"
	"os"
	"sync"

	"github.com/xtaci/smux"
)

// pattern is the payload of a stream: reproducible and without a period that fits a frame.
func pattern(seed uint32, length int) []byte {
	bytes := make([]byte, length)
	rand.New(rand.NewSource(int64(seed))).Read(bytes)
	return bytes
}

func sum(bytes []byte) uint64 {
	hash := fnv.New64a()
	hash.Write(bytes)
	return hash.Sum64()
}

// request sends on a stream that this end opened and checks the answer.
func request(stream *smux.Stream, seed uint32) error {
	source := rand.New(rand.NewSource(int64(seed)))
	payload := pattern(seed, source.Intn(400_000))
	wanted := source.Intn(400_000)
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
	head = binary.LittleEndian.AppendUint32(head, uint32(wanted))
	if _, err := stream.Write(append(head, payload...)); err != nil {
		return fmt.Errorf("write request: %w", err)
	}
	if err := stream.CloseWrite(); err != nil {
		return fmt.Errorf("close request: %w", err)
	}
	answer := make([]byte, 16+wanted)
	if _, err := io.ReadFull(stream, answer); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if binary.LittleEndian.Uint64(answer) != sum(payload) {
		return fmt.Errorf("the other end got something else")
	}
	if binary.LittleEndian.Uint64(answer[8+wanted:]) != sum(answer[8:8+wanted]) {
		return fmt.Errorf("the answer is not what was sent")
	}
	return stream.Close()
}

// answer reads a request of the other end to its end and answers it.
func answer(stream *smux.Stream) error {
	request, err := io.ReadAll(stream)
	if err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	if len(request) < 8 || len(request)-8 != int(binary.LittleEndian.Uint32(request)) {
		return fmt.Errorf("request of %d bytes", len(request))
	}
	payload := pattern(stream.ID(), int(binary.LittleEndian.Uint32(request[4:])))
	reply := binary.LittleEndian.AppendUint64(nil, sum(request[8:]))
	reply = append(reply, payload...)
	reply = binary.LittleEndian.AppendUint64(reply, sum(payload))
	if _, err := stream.Write(reply); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return stream.Close()
}

func run() error {
	addr := flag.String("addr", "", "where the other end listens")
	role := flag.String("role", "", "smux role: dial or accept")
	version := flag.Int("version", 2, "smux version: 1 or 2")
	streams := flag.Int("streams", 40, "streams that each end opens")
	flag.Parse()
	conn, err := net.Dial("tcp", *addr)
	if err != nil {
		return err
	}
	config := smux.DefaultConfig()
	config.Version = *version
	start := smux.Client
	if *role == "accept" {
		start = smux.Server
	}
	session, err := start(conn, config)
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	failures := make(chan error, 2**streams)
	for n := range *streams {
		group.Go(func() {
			stream, err := session.OpenStream()
			if err == nil {
				err = request(stream, uint32(n))
			}
			failures <- err
		})
		group.Go(func() {
			stream, err := session.AcceptStream()
			if err == nil {
				err = answer(stream)
			}
			failures <- err
		})
	}
	group.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			return err
		}
	}
	stream, err := session.OpenStream()
	if err != nil {
		return err
	}
	if _, err := stream.Write([]byte("done")); err != nil {
		return err
	}
	if err := stream.Close(); err != nil {
		return err
	}
	if _, err := session.AcceptStream(); err == nil {
		return fmt.Errorf("a stream too many")
	}
	return session.Close()
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "smux-peer:", err)
		os.Exit(1)
	}
}
