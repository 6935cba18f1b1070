!> The part of transip.h that an evaluation needs, for Fortran 2008. Units: Angstrom, eV, eV/Angstrom.
module transip
  use, intrinsic :: iso_c_binding
  implicit none

  integer(c_int), parameter :: transip_ok = 0

  !> transip_structure: what is evaluated.
  type, bind(c) :: transip_structure
    integer(c_int64_t) :: atoms = 0             !< N
    type(c_ptr) :: species = c_null_ptr         !< [N] integer(c_int64_t), atomic numbers
    type(c_ptr) :: positions = c_null_ptr       !< [3, N] real(c_double), Angstrom
    type(c_ptr) :: cell = c_null_ptr            !< [3, 3] real(c_double), Angstrom, cell vectors as columns
    integer(c_int) :: periodic(3) = 0           !< 1 along each cell vector that is periodic
    integer(c_int) :: charge = 0                !< e
    integer(c_int) :: multiplicity = 1          !< 2S + 1
    integer(c_int64_t) :: step = 0              !< of random rotations
  end type transip_structure

  !> transip_result: where results go; what stays c_null_ptr is left out.
  type, bind(c) :: transip_result
    type(c_ptr) :: energy = c_null_ptr          !< real(c_double), eV
    type(c_ptr) :: energies = c_null_ptr        !< [N] real(c_double), eV
    type(c_ptr) :: forces = c_null_ptr          !< [3, N] real(c_double), eV/Angstrom
    type(c_ptr) :: virial = c_null_ptr          !< [3, 3] real(c_double), eV
    type(c_ptr) :: virials = c_null_ptr         !< [3, 3, N] real(c_double), eV
  end type transip_result

  interface
    function transip_load(path, options, model) bind(c) result(status)
      import :: c_char, c_int, c_ptr
      character(kind=c_char), intent(in) :: path(*)
      type(c_ptr), value :: options
      type(c_ptr), intent(out) :: model
      integer(c_int) :: status
    end function transip_load

    function transip_evaluate(model, structure, result) bind(c) result(status)
      import :: c_int, c_ptr, transip_structure, transip_result
      type(c_ptr), value :: model
      type(transip_structure), intent(in) :: structure
      type(transip_result), intent(in) :: result
      integer(c_int) :: status
    end function transip_evaluate

    subroutine transip_free(model) bind(c)
      import :: c_ptr
      type(c_ptr), value :: model
    end subroutine transip_free

    function transip_message_c() bind(c, name="transip_message") result(text)
      import :: c_ptr
      type(c_ptr) :: text
    end function transip_message_c

    function transip_strlen(text) bind(c, name="strlen") result(length)
      import :: c_ptr, c_size_t
      type(c_ptr), value :: text
      integer(c_size_t) :: length
    end function transip_strlen
  end interface

contains

  !> Reason of the last failure.
  function transip_message() result(text)
    character(:), allocatable :: text
    character(kind=c_char), pointer :: letters(:)
    type(c_ptr) :: address
    integer :: i
    address = transip_message_c()
    call c_f_pointer(address, letters, [transip_strlen(address)])
    allocate (character(size(letters)) :: text)
    do i = 1, size(letters)
      text(i:i) = letters(i)
    end do
  end function transip_message

end module transip
