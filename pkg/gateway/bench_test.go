// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"testing"
)

// ways are how a benchmark reaches a tenant: with and without the gateway.
func ways(b *testing.B, backend string) map[string]string {
	b.Helper()
	f := start(b)
	f.routes.OnAdd(cluster("a", "uid-a", nameA, backend), true)
	return map[string]string{"direct": backend, "gateway": f.address}
}

func open(b *testing.B, address string, hello []byte) net.Conn {
	b.Helper()
	conn, err := (&net.Dialer{}).DialContext(context.WithoutCancel(b.Context()), "tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := conn.Write(hello); err != nil {
		b.Fatal(err)
	}
	expect(b, conn, append([]byte("A"), hello...))
	return conn
}

// BenchmarkThroughput sends to a server that sends it back. Compare the two:
//
//	go test -run '^$' -bench Throughput ./pkg/gateway
func BenchmarkThroughput(b *testing.B) {
	const chunk = 1 << 20
	hello := clientHello(b, &tls.Config{ServerName: nameA})
	for name, address := range ways(b, echo(b, "A")) {
		b.Run(name, func(b *testing.B) {
			conn := open(b, address, hello)
			defer conn.Close()
			b.SetBytes(chunk)
			sent := make([]byte, chunk)
			got := make([]byte, chunk)
			for b.Loop() {
				done := make(chan error, 1)
				go func() { _, err := conn.Write(sent); done <- err }()
				if _, err := io.ReadFull(conn, got); err != nil {
					b.Fatal(err)
				}
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkIdle reports what a thousand connections on which nothing moves take
// of the process, clients and servers included: the difference is the gateway's.
func BenchmarkIdle(b *testing.B) {
	const connections = 1000
	hello := clientHello(b, &tls.Config{ServerName: nameA})
	for name, address := range ways(b, echo(b, "A")) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				before := inUse()
				var open1000 []net.Conn
				for range connections {
					open1000 = append(open1000, open(b, address, hello))
				}
				b.ReportMetric(float64(inUse()-before)/connections/1024, "KiB/conn")
				for _, conn := range open1000 {
					_ = conn.Close()
				}
			}
		})
	}
}

func inUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc + stats.StackInuse
}
