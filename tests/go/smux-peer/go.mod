module kariz.test/smux-peer

go 1.25.0

require github.com/xtaci/smux v1.5.56
