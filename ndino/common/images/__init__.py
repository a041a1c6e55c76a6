"""Image files, for every command: found by the names in rows, opened in one way, told apart by content.

opening
    What can be read, and how: the whole image in RGB, upright; its size from the header.
pixels
    What transparency, 16 bits, floating point and CMYK become.
files
    The files that rows name.
digests
    Identities by content and by pixels.
encoding
    Images as bytes, and as text in a page or a request.
"""

from __future__ import annotations

from ndino.common.images.digests import image_digest as image_digest
from ndino.common.images.digests import image_sha256 as image_sha256
from ndino.common.images.digests import pixel_digest as pixel_digest
from ndino.common.images.encoding import data_url as data_url
from ndino.common.images.encoding import encode_image as encode_image
from ndino.common.images.files import find_file as find_file
from ndino.common.images.files import find_image as find_image
from ndino.common.images.files import is_embedded as is_embedded
from ndino.common.images.files import leaves_the_folder as leaves_the_folder
from ndino.common.images.files import missing_image as missing_image
from ndino.common.images.files import open_named as open_named
from ndino.common.images.files import size_of_named as size_of_named
from ndino.common.images.opening import BROKEN_IMAGE as BROKEN_IMAGE
from ndino.common.images.opening import FORMATS as FORMATS
from ndino.common.images.opening import MAX_IMAGE_PIXELS as MAX_IMAGE_PIXELS
from ndino.common.images.opening import READING_VERSION as READING_VERSION
from ndino.common.images.opening import REPLACE_IMAGE as REPLACE_IMAGE
from ndino.common.images.opening import UNREADABLE as UNREADABLE
from ndino.common.images.opening import ImageFaultError as ImageFaultError
from ndino.common.images.opening import UnreadableImageError as UnreadableImageError
from ndino.common.images.opening import has_several_frames as has_several_frames
from ndino.common.images.opening import image_size as image_size
from ndino.common.images.opening import opened_image as opened_image
from ndino.common.images.opening import read_image as read_image
from ndino.common.images.opening import set_reading_rules as set_reading_rules
from ndino.common.images.opening import turn_of as turn_of
from ndino.common.images.pixels import WHITE as WHITE
from ndino.common.images.pixels import Colour as Colour
from ndino.common.images.pixels import to_rgb as to_rgb
