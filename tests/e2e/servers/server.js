// An HTTP server that logs each answer as a line of CSV: server PORT LOG.
'use strict';
const fs = require('fs');
const http = require('http');

const [port, path] = process.argv.slice(2);
const log = fs.openSync(path, 'w');
let lines = ['seq,method,path,status,request_body_bytes,response_body_bytes,client_addr,client_port'];

function status(seq) {
	return seq % 97 === 0 ? 500 : seq % 41 === 0 ? 404 : 200;
}

const server = http.createServer((request, response) => {
	let received = 0;
	request.on('data', (piece) => { received += piece.length; });
	request.on('end', () => {
		const seq = Number(request.headers['x-seq']);
		const body = request.method === 'HEAD' ? '' : 'node '.repeat(seq % 700);
		const headers = { 'X-Seq': seq, 'Content-Type': `application/x-seq.${seq}` };
		if (seq % 3 !== 0) // else chunked
			headers['Content-Length'] = Buffer.byteLength(body);
		response.writeHead(status(seq), headers);
		const half = body.length >> 1;
		if (half > 0)
			response.write(body.slice(0, half));
		response.end(body.slice(half));
		lines.push([seq, request.method, request.url, status(seq), received, body.length,
			request.socket.remoteAddress, request.socket.remotePort].join(','));
		if (lines.length > 1000)
			flush();
	});
});
server.keepAliveTimeout = 600000;

function flush() {
	fs.writeSync(log, lines.join('\n') + '\n');
	lines = [];
}

process.on('SIGTERM', () => {
	if (lines.length)
		flush();
	process.exit(0);
});
server.listen(Number(port), '127.0.0.1');
