/* The one gRPC call that agents and collector know, and what both ends need of gRPC over HTTP/2
 * (grpc/doc/PROTOCOL-HTTP2.md). Messages are framed by proto/frame.h at the far ends; here they are
 * bytes.
 */
#ifndef TRANSPORT_GRPC_H
#define TRANSPORT_GRPC_H

#define GRPC_UPLINK_PATH "/kelpie.Uplink/Connect"
#define GRPC_TOKEN_MIN	 16   /* bytes: a shorter one is guessed */
#define GRPC_TOKEN_MAX	 4096 /* a service account's has about 1,000 */
#define GRPC_MESSAGE_MAX 256  /* bytes of a grpc-message that are looked at */

/* grpc/doc/statuscodes.md, as they go over the wire */
#define GRPC_OK		     "0"
#define GRPC_UNKNOWN	     "2"
#define GRPC_UNIMPLEMENTED   "12"
#define GRPC_UNAVAILABLE     "14"
#define GRPC_UNAUTHENTICATED "16"

#endif
