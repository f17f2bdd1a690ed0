from tests.world.bucket import bucket_server, public_bucket

__all__ = ["bucket_server", "public_bucket"]
